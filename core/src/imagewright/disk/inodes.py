"""Reads the inode tables of an ext4 filesystem in a file: the times that mke2fs copied from the source tree.

The layout is that of the kernel's ``Documentation/filesystems/ext4/``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MAGIC = 0xEF53
_UNINITIALISED = 1  # EXT4_BG_INODE_UNINIT
_INCOMPAT_64BIT = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class InodeTimes:
    """The times of an inode in use: seconds since 1970, and the raw extra words (nanoseconds and epoch bits)."""

    number: int
    atime: int
    ctime: int
    mtime: int
    crtime: int
    extras: tuple[int, int, int, int]  # atime, ctime, mtime, crtime


def extra_word(seconds: int) -> int:
    """The extra word of a time of whole ``seconds``: the bits that do not fit into 32."""
    low = ((seconds + 2**31) % 2**32) - 2**31
    return ((seconds - low) >> 32) & 3


def read_times(file: BinaryIO, offset: int) -> Iterator[InodeTimes]:
    """Every inode in use of the filesystem that starts at byte ``offset``. Raises ValueError if there is none."""
    file.seek(offset + 1024)
    superblock = file.read(1024)
    if struct.unpack_from("<H", superblock, 0x38)[0] != _MAGIC:
        raise ValueError("no ext4 filesystem")
    inodes, first_block, log_size, per_group, inode_size, incompat, desc_size = (
        struct.unpack_from(form, superblock, at)[0]
        for form, at in (("<I", 0), ("<I", 0x14), ("<I", 0x18), ("<I", 0x28), ("<H", 0x58), ("<I", 0x60), ("<H", 0xFE))
    )
    block = 1024 << log_size
    wide = bool(incompat & _INCOMPAT_64BIT) and desc_size >= 64
    desc_size = desc_size if wide else 32
    groups = -(-inodes // per_group)
    file.seek(offset + (first_block + 1) * block)
    table = file.read(groups * desc_size)
    for group in range(groups):
        at = group * desc_size
        bitmap, itable = struct.unpack_from("<II", table, at + 4)
        flags, unused = struct.unpack_from("<H", table, at + 0x12)[0], struct.unpack_from("<H", table, at + 0x1C)[0]
        if wide:
            bitmap_high, itable_high = struct.unpack_from("<II", table, at + 0x24)
            bitmap, itable = bitmap | bitmap_high << 32, itable | itable_high << 32
            unused |= struct.unpack_from("<H", table, at + 0x32)[0] << 16
        if flags & _UNINITIALISED:
            continue
        file.seek(offset + bitmap * block)
        used = file.read(-(-per_group // 8))
        file.seek(offset + itable * block)
        count = min(per_group - unused, inodes - group * per_group)
        data = file.read(count * inode_size)
        for index in range(count):
            start = index * inode_size
            if used[index >> 3] >> (index & 7) & 1 and any(data[start : start + 128]):
                yield _times(group * per_group + index + 1, data, start)


def _times(number: int, data: bytes, start: int) -> InodeTimes:
    atime, ctime, mtime = struct.unpack_from("<iii", data, start + 8)
    ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra = struct.unpack_from("<IIIiI", data, start + 0x84)
    return InodeTimes(
        number=number,
        atime=atime + ((atime_extra & 3) << 32),
        ctime=ctime + ((ctime_extra & 3) << 32),
        mtime=mtime + ((mtime_extra & 3) << 32),
        crtime=crtime + ((crtime_extra & 3) << 32),
        extras=(atime_extra, ctime_extra, mtime_extra, crtime_extra),
    )
