"""The archive of a ramdisk: cpio's newc, as the kernel unpacks it.

https://docs.kernel.org/driver-api/early-userspace/buffer-format.html has the format.

The same entries give the same bytes: owners are root, inodes are counted, times are one given time.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

_LARGEST = 0xFFFFFFFF
"""Bytes of the largest file that the format can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file, folder, link or character device. ``path`` is relative and normal.

    The content of a file is ``content``, that of the file at ``source``, or what ``late`` makes when it is asked for.
    ``mode`` holds the permission bits. ``device`` is (major, minor).
    """

    path: str
    kind: Literal["file", "folder", "link", "device"] = "file"
    mode: int = 0o644
    content: bytes = b""
    source: str = ""
    late: Callable[[], bytes] | None = None
    target: str = ""
    device: tuple[int, int] = (0, 0)

    def read(self) -> bytes:
        """What the archive holds for it: a file's content, a link's target. Raises OSError for an unreadable source."""
        if self.source:
            with open(self.source, "rb") as stream:
                return stream.read()
        if self.late is not None:
            return self.late()
        return self.target.encode() if self.kind == "link" else self.content


_KINDS = {"file": stat.S_IFREG, "folder": stat.S_IFDIR, "link": stat.S_IFLNK, "device": stat.S_IFCHR}


COMPRESSED = (".gz", ".xz", ".zst")
"""How the names of files end that nobody makes smaller, such as kernel modules and firmware."""


def compressed_apart(members: Iterable[Member]) -> tuple[list[Member], list[Member]]:
    """Divide members into the compressed files, with the folders above them, and all others; parents stay first.

    For two archives one after the other, which the kernel unpacks into one tree. A file below a link to a folder stays
    with the link.
    """
    given = list(members)
    folders = {member.path for member in given if member.kind == "folder"}
    chosen: set[str] = set()
    for member in given:
        if member.kind == "file" and member.path.endswith(COMPRESSED):
            above = {str(folder) for folder in PurePosixPath(member.path).parents} - {"."}
            if above <= folders:
                chosen |= {member.path, *above}
    first = [member for member in given if member.path in chosen]
    return first, [member for member in given if member.path not in chosen]


def write_archive(members: Iterable[Member], write: Callable[[bytes], object], *, moment: int) -> int:
    """Write members, parents before what is in them; return the number of bytes. ``moment`` is in seconds since 1970.

    Raises OSError if a source cannot be read, ValueError for a file that the format cannot hold.
    """
    total = 0

    def put(data: bytes) -> None:
        nonlocal total
        write(data)
        total += len(data)

    number = 0
    for number, member in enumerate(members, start=1):
        content = member.read()
        if len(content) > _LARGEST:
            raise ValueError(f"/{member.path} is larger than 4 GiB")
        put(_header(member.path, number, _KINDS[member.kind] | member.mode, moment, len(content), member.device))
        put(content + bytes(-len(content) % 4))
    put(_header("TRAILER!!!", 0, 0, 0, 0, (0, 0)))
    # cpio(1) and the kernel's concatenation both like whole blocks
    put(bytes(-total % 512))
    return total


def _header(path: str, number: int, mode: int, moment: int, size: int, device: tuple[int, int]) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, moment, size, 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4)
