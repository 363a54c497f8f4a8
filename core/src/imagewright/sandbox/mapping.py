"""Which ids of the host stand for the ids of a build's user namespace."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from imagewright.errors import HostError

COUNT = 65_536
"""How many ids a namespace has: 0 to 65535, as in any ordinary system."""

ROOT_BASE = 0x4000_0000
"""Where root's shifted range starts when /etc/subuid gives root none; far above the ids that accounts have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The lines for ``uid_map`` and ``gid_map``: (first id inside, first id outside, count)."""

    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]

    @property
    def root(self) -> tuple[int, int]:
        """The host's uid and gid that stand for root inside."""
        return self.uids[0][1], self.gids[0][1]


def mapping_of_caller() -> Mapping:
    """The mapping for whoever calls.

    An ordinary user is root inside, and their subordinate ids are the others. Root's ids are shifted, never the same
    inside and outside: with the identity the host's files and ``/proc/sys`` would be open to hooks.
    Raises HostError if there are too few ids.
    """
    if os.getuid() == 0:
        return _mapping_of_root()
    return mapping_of_user(os.getuid(), os.getgid(), Path("/etc/subuid"), Path("/etc/subgid"))


def mapping_of_user(uid: int, gid: int, users: Path, groups: Path) -> Mapping:
    """The mapping of an ordinary user, by files as /etc/subuid and /etc/subgid are.

    Raises HostError if one of them gives the user no range that is large enough.
    """
    own = subordinate(users, uid, COUNT - 1)
    own_groups = subordinate(groups, uid, COUNT - 1)
    if own is not None and own_groups is not None:
        return Mapping(
            uids=((0, uid, 1), (1, own, COUNT - 1)),
            gids=((0, gid, 1), (1, own_groups, COUNT - 1)),
        )
    first = free_range(users, groups)
    options = [
        f"--add-sub{kind}s {first}-{first + COUNT - 1}"
        for kind, found in (("uid", own), ("gid", own_groups))
        if not found
    ]
    raise HostError(
        "no-subordinate-ids",
        f"the user {_name(uid)} has no range of {COUNT - 1} subordinate ids",
        where=tuple(f"file: {file}" for file, found in ((users, own), (groups, own_groups)) if not found),
        cause="files of an image belong to many users; each needs an id of the host to stand for it",
        hint=f"sudo usermod {' '.join(options)} {_name(uid)}",
    )


def _mapping_of_root() -> Mapping:
    firsts = []
    for kind in ("uid", "gid"):
        own = subordinate(Path(f"/etc/sub{kind}"), 0, COUNT)
        first = base_within(Path(f"/proc/self/{kind}_map").read_text(), ROOT_BASE if own is None else own)
        if first is None:
            raise HostError(
                "too-few-ids",
                f"root has too few {kind}s here to stand for those of an image",
                cause=f"a container whose own user namespace has fewer than {2 * COUNT} ids",
                hint="build on the host as an ordinary user, or give the container more ids",
            )
        firsts.append(first)
    return Mapping(uids=((0, firsts[0], COUNT),), gids=((0, firsts[1], COUNT),))


def base_within(text: str, wanted: int) -> int | None:
    """Where a range of COUNT ids can start in a namespace with this ``uid_map``: ``wanted``, else as high as it goes.

    Never below COUNT, where the accounts are; None if there is no such range.
    """
    ranges = [(int(words[0]), int(words[0]) + int(words[2])) for words in map(str.split, text.splitlines())]
    if any(start <= wanted and wanted + COUNT <= end for start, end in ranges):
        return wanted
    return max((end - COUNT for start, end in ranges if end - COUNT >= max(start, COUNT)), default=None)


def subordinate(file: Path, uid: int, count: int) -> int | None:
    """Where the first range of at least ``count`` ids starts that ``file`` (subuid(5)) gives the user."""
    names = {str(uid), _name(uid)}
    return next((first for name, first, size in _ranges(file) if name in names and size >= count), None)


def free_range(*files: Path) -> int:
    """Where COUNT ids start that none of the files gives to anybody."""
    ends = [first + size for file in files for _name, first, size in _ranges(file)]
    return max([100_000, *ends])


def _ranges(file: Path) -> list[tuple[str, int, int]]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    parts = [line.strip().split(":") for line in lines]
    return [
        (part[0], int(part[1]), int(part[2]))
        for part in parts
        if len(part) == 3 and part[1].isdecimal() and part[2].isdecimal()
    ]


def write_mapping(pid: int, mapping: Mapping) -> None:
    """Give the new user namespace of ``pid`` its ids: root writes them, others ask newuidmap(1).

    Raises HostError if the host refuses.
    """
    if os.getuid() == 0:
        try:
            Path(f"/proc/{pid}/gid_map").write_text(_lines(mapping.gids))
            Path(f"/proc/{pid}/uid_map").write_text(_lines(mapping.uids))
        except OSError as error:
            raise HostError(
                "mapping-refused",
                f"the host refuses to map ids into a user namespace: {error.strerror}",
                cause="a container without the capabilities SETUID and SETGID",
                hint="give the container these capabilities, or build on the host",
            ) from error
        return
    for program, lines in (("newuidmap", mapping.uids), ("newgidmap", mapping.gids)):
        numbers = [str(number) for line in lines for number in line]
        try:
            done = subprocess.run([program, str(pid), *numbers], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise HostError(
                "missing-tool", f"the host lacks {program}", hint="sudo apt-get install uidmap (or: make setup)"
            ) from error
        if done.returncode:
            raise HostError(
                "mapping-refused",
                f"{program} refuses to map the subordinate ids: {done.stderr.strip()}",
                hint="imagewright doctor says what is wrong",
            )


def _lines(lines: tuple[tuple[int, int, int], ...]) -> str:
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in lines)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
