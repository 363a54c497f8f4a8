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
    Raises HostError if an ordinary user has too few subordinate ids.
    """
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        shifted = (ROOT_BASE, COUNT)
        own_users = subordinate(Path("/etc/subuid"), 0) or shifted
        own_groups = subordinate(Path("/etc/subgid"), 0) or shifted
        return Mapping(uids=((0, own_users[0], COUNT),), gids=((0, own_groups[0], COUNT),))
    users = subordinate(Path("/etc/subuid"), uid)
    groups = subordinate(Path("/etc/subgid"), uid)
    if users is None or groups is None:
        name = _name(uid)
        raise HostError(
            "no-subordinate-ids",
            f"the user {name} has no range of {COUNT - 1} subordinate ids",
            where=("file: /etc/subuid" if users is None else "file: /etc/subgid",),
            cause="files of an image belong to many users; each needs an id of the host to stand for it",
            hint=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name} (or: make setup)",
        )
    return Mapping(
        uids=((0, uid, 1), (1, users[0], COUNT - 1)),
        gids=((0, gid, 1), (1, groups[0], COUNT - 1)),
    )


def subordinate(file: Path, uid: int) -> tuple[int, int] | None:
    """The first range of at least 65535 ids that ``file`` (subuid(5)) gives the user: (first, count)."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    names = {str(uid), _name(uid)}
    for line in lines:
        parts = line.strip().split(":")
        if len(parts) == 3 and parts[0] in names and parts[1].isdigit() and parts[2].isdigit():
            first, count = int(parts[1]), int(parts[2])
            if count >= (COUNT if uid == 0 else COUNT - 1):
                return first, count
    return None


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
