"""Finds what the rules forbid, in a root tree or in a list of files.

:func:`look` is called as mapped root in the sandbox. Its code is imported before the namespace is made and imports
nothing later, since the files of the environment may lie where mapped root cannot go.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from imagewright.blankslate.marks import Marks
from imagewright.blankslate.rules import HOME, NAMING, RULES, TEXTS, Rule

_LARGEST = 1 << 20  # bytes of a text file
_HEAD = 4096  # bytes in which a file that is no text has a NUL
_HOMES = (r"/root", r"/home/[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file that is looked at; ``path`` is absolute in the image. ``read`` gives its content, whatever it holds."""

    path: str
    size: int
    link: bool
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule found: its name, the path, and the value that gave it away, if one did."""

    rule: str
    path: str
    value: str = ""


def look(*, target: str, marks: Mapping[str, Any], layers: Sequence[str]) -> list[dict[str, Any]]:
    """What the rules find in the root tree ``target``, as JSON carries it: rule, path, value and ``layers``.

    ``layers`` are folders, the topmost first; a finding has the numbers of those that hold its path.
    """
    folders = [os.open(folder, os.O_PATH | os.O_DIRECTORY) for folder in layers]
    os.chroot(target)
    os.chdir("/")
    homes = _homes_of_tree()
    sought = Marks.of(marks)
    found = findings(_tree(homes, sought), sought, homes)
    return [
        {"rule": one.rule, "path": one.path, "value": one.value, "layers": _holders(one.path, folders)} for one in found
    ]


def findings(files: Iterable[Seen], marks: Marks, homes: Collection[str] = ()) -> list[Finding]:
    """What the rules find among ``files``, by path and then in the order of the rules; ``homes`` are of the image."""
    patterns = tuple(_HOMES) + tuple(re.escape(home) for home in sorted(homes))
    by_path = [(rule, _pattern(rule.paths, patterns)) for rule in RULES if rule.paths]
    caches = _pattern(tuple(f"{folder}/**" for folder in marks.caches), patterns)
    texts, naming = _pattern(TEXTS, patterns), _pattern(NAMING, patterns)
    every, in_names = _Needles(marks, homes), _Needles(Marks(names=marks.names), homes, any_name=True)
    found = []
    for one in files:
        rules = [rule for rule, pattern in by_path if pattern.fullmatch(one.path) and _counts(rule, one)]
        found += [Finding(rule=rule.name, path=one.path) for rule in rules]
        if one.size and caches.fullmatch(one.path) and "package-caches" not in [rule.name for rule in rules]:
            found.append(Finding(rule="package-caches", path=one.path))
        digest = "" if one.link else marks.build_files.get(one.path, "")
        if digest and hashlib.sha256(one.read()).hexdigest() == digest:
            found.append(Finding(rule="build-files", path=one.path))
        if one.size and one.size <= _LARGEST and not one.link and texts.fullmatch(one.path):
            content = one.read()
            if b"\0" not in content[:_HEAD]:
                values = every.within(content) | (in_names.within(content) if naming.fullmatch(one.path) else {})
                found += [Finding(rule=rule, path=one.path, value=value) for rule, value in values.items()]
    order = {rule.name: number for number, rule in enumerate(RULES)}
    return sorted(found, key=lambda one: (one.path, order[one.rule]))


def _counts(rule: Rule, one: Seen) -> bool:
    if not one.size or (one.link and not rule.links):
        return False
    if not rule.text and not rule.but:
        return True
    content = one.read()
    if rule.but and re.fullmatch(rule.but, content):
        return False
    return not rule.text or re.search(rule.text, content) is not None


class _Needles:
    """The values of marks as patterns of bytes."""

    def __init__(self, marks: Marks, homes: Collection[str], *, any_name: bool = False) -> None:
        names = marks.names if any_name else tuple(name for name in marks.names if distinctive(name))
        # what is a home of the image's own accounts too is no path of the host's
        paths = tuple(path for path in marks.paths if path not in homes)
        self._patterns = [
            (rule, pattern)
            for rule, values, before, after, flags in (
                ("proxy", marks.proxies, r"[\w.-]", r"[\w-]|\.\w", re.IGNORECASE),
                ("host-paths", paths, r"[\w./-]", r"[\w-]|\.\w", re.NOFLAG),
                ("host-name", names, r"[\w.-]", r"[\w-]", re.IGNORECASE),
                ("host-identifiers", marks.identifiers, r"[\w-]", r"[\w-]", re.IGNORECASE),
            )
            if values and (pattern := _words(values, before, after, flags))
        ]

    def within(self, content: bytes) -> dict[str, str]:
        """For each rule that finds something in a text, the value."""
        found = {}
        for rule, pattern in self._patterns:
            match = pattern.search(content)
            if match:
                found[rule] = match[0].decode(errors="replace")
        return found


def distinctive(name: str) -> bool:
    """Whether a machine's name is no word that any text may have."""
    return len(name) > 5 and re.search(r"[0-9.-]", name) is not None


def _words(values: Iterable[str], before: str, after: str, flags: re.RegexFlag) -> re.Pattern[bytes]:
    longest = sorted(values, key=lambda value: (-len(value), value))
    text = "|".join(re.escape(value) for value in longest)
    return re.compile(rf"(?<!{before})(?:{text})(?!{after})".encode(errors="surrogateescape"), flags)


def _pattern(paths: Sequence[str], homes: Sequence[str]) -> re.Pattern[str]:
    """One pattern for those of a rule; one that matches nothing if there are none."""
    return re.compile("|".join(_translated(path, homes) for path in paths) or r"(?!)")


@cache
def _translated(path: str, homes: tuple[str, ...]) -> str:
    head = ""
    if path.startswith(HOME):
        head, path = f"(?:{'|'.join(homes)})", path[1:]
    below = path.endswith("/**")
    body = re.escape(path.removesuffix("/**")).replace(r"\*", "[^/]*")
    return head + body + ("/.+" if below else "")


# -- the root tree, as the process's root


def _homes_of_tree() -> frozenset[str]:
    """The homes of all accounts of the tree that are folders of their own (passwd(5))."""
    homes = set()
    try:
        with open("/etc/passwd", "rb") as file:
            for line in file:
                fields = line.decode(errors="surrogateescape").split(":")
                if len(fields) > 5 and fields[5].startswith("/"):
                    homes.add(os.path.normpath(fields[5]))
    except OSError:
        pass
    return frozenset(home for home in homes if home != "/" and os.path.isdir(home))


def _tree(homes: Collection[str], marks: Marks) -> Iterator[Seen]:
    """The files of the tree that a rule may be about."""
    every = [path for rule in RULES for path in rule.paths] + [*TEXTS, *NAMING]
    every += [*(f"{folder}/**" for folder in marks.caches), *marks.build_files]
    placed = [path for path in every if not path.startswith(HOME)]
    deep = {path.removesuffix("/**") for path in placed if path.endswith("/**")}
    flat = {os.path.dirname(path) for path in placed if not path.endswith("/**")}
    every_home = {*homes, "/root", *(f"/home/{name}" for name in _names("/home"))}
    flat |= {f"{home}/.ssh" for home in every_home}
    # many accounts are at home in /usr/sbin and the like; of a home only the hidden files count
    hidden = [os.path.join(home, name) for home in sorted(every_home) for name in _names(home) if name.startswith(".")]
    seen: set[str] = set()
    below: set[tuple[int, int]] = set()
    for folder in sorted(deep):
        for one in _below(folder, below):
            if one.path not in seen:
                seen.add(one.path)
                yield one
    for path in (*hidden, *(os.path.join(folder, name) for folder in sorted(flat) for name in _names(folder))):
        entry = None if path in seen else _seen(path)
        if entry is not None:
            seen.add(path)
            yield entry


def _below(folder: str, walked: set[tuple[int, int]]) -> Iterator[Seen]:
    """Everything below a folder that a rule names, which may be a link; links further down are not followed."""
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            status = os.stat(here)
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode) or (status.st_dev, status.st_ino) in walked:
            continue
        walked.add((status.st_dev, status.st_ino))
        for name in _names(here):
            path = os.path.join(here, name)
            if not os.path.islink(path) and os.path.isdir(path):
                folders.append(path)
            elif (one := _seen(path)) is not None:
                yield one


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _seen(path: str) -> Seen | None:
    """The file at a path, or the one that a link there leads to; None if that is no plain file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None

    def read() -> bytes:
        with open(path, "rb") as file:
            return file.read()

    return Seen(path=path, size=status.st_size, link=os.path.islink(path), read=read)


def _holders(path: str, folders: Sequence[int]) -> list[int]:
    """The numbers of the layers that hold what is really at a path."""
    real = os.path.realpath(path).lstrip("/")
    found = []
    for number, folder in enumerate(folders):
        try:
            os.stat(real, dir_fd=folder, follow_symlinks=False)
        except OSError:
            continue
        found.append(number)
    return found
