"""Repositories that serve the build alone, as apt reads them: sources.list(5), apt_auth.conf(5).

A source names its keys where the build shows them (:data:`imagewright.api.PRIVATE`); the file with the sources holds
nothing private, so that it may lie in the tree.
"""

from __future__ import annotations

from collections.abc import Sequence

from imagewright.api import PRIVATE, Entry, Repository, Tree

AUTH = f"{PRIVATE}/auth.conf"
"""Where apt finds the logins during the build."""

_ARMOUR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


def sources_of(repositories: Sequence[Repository]) -> str:
    """The repositories as one deb822 file."""
    paragraphs = []
    for number, one in enumerate(repositories):
        lines = ["Types: deb", f"URIs: {one.address}", f"Suites: {one.suite}"]
        if one.components:
            lines.append(f"Components: {' '.join(one.components)}")
        names = [f"{PRIVATE}/{name}" for name, _ in _keys(number, one)]
        if names:
            lines.append(f"Signed-By: {' '.join(names)}")
        paragraphs.append("".join(f"{line}\n" for line in lines))
    return "\n".join(paragraphs)


def key_files(repositories: Sequence[Repository]) -> Tree:
    """The keys of all repositories, and the file with their logins; mode 600."""
    entries = [
        Entry(path=name, mode=0o600, content=content)
        for number, one in enumerate(repositories)
        for name, content in _keys(number, one)
    ]
    logins = auth_file(repositories)
    if logins:
        entries.append(Entry(path=AUTH.rpartition("/")[2], mode=0o600, content=logins.encode()))
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))


def auth_file(repositories: Sequence[Repository]) -> str:
    """One line per repository with a login; apt sends it to that address and what lies below it, and nowhere else."""
    lines = []
    for one in repositories:
        user, _, password = str.__str__(one.login).partition(":")
        if user:
            # without the scheme apt would use it with https alone
            lines.append(f"machine {one.address}/ login {user} password {password}\n")
    return "".join(lines)


def _keys(number: int, one: Repository) -> list[tuple[str, bytes]]:
    """Names and contents of its keys; apt tells the two forms apart by the names."""
    return [
        (f"repository-{number}-{count}.{'asc' if _ARMOUR in key else 'gpg'}", key) for count, key in enumerate(one.keys)
    ]
