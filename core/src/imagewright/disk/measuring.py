"""How much room a tree needs in an ext4 filesystem."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from imagewright.disk.copying import data_ranges

BLOCK = 4096
"""The block size of the root filesystem, in bytes."""

INODE = 256
"""The inode size of the root filesystem, in bytes."""

_FAST_LINK = 60  # a link's target shorter than that lives in its inode
_ENTRY = 8  # a directory entry without its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a tree needs: bytes of blocks, and the number of inodes."""

    data: int
    inodes: int

    @property
    def total(self) -> int:
        """Bytes of blocks and inodes together."""
        return self.data + self.inodes * INODE


def content_of(target: str) -> Content:
    """Measure a tree; files with several names count once, holes not at all."""
    data, inodes = 0, 1
    seen: set[tuple[int, int]] = set()
    folders = [target]
    while folders:
        names = 24  # the entries . and ..
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                names += _ENTRY + -(-len(os.fsencode(entry.name)) // 4) * 4
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISSOCK(status.st_mode):
                    continue
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                elif status.st_nlink > 1:
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                inodes += 1
                data += _blocks(entry.path, status)
        # Blocks of a hashed directory are three quarters full on average, and it has an index block.
        data += BLOCK if names <= BLOCK - 12 else (-(-names * 4 // (3 * BLOCK)) + 1) * BLOCK
    return Content(data=data, inodes=inodes)


def measure(target: str) -> int:
    """Bytes that the tree at ``target`` needs in an ext4 filesystem: blocks and inodes, without the journal."""
    return content_of(target).total


def _blocks(path: str, status: os.stat_result) -> int:
    if stat.S_ISREG(status.st_mode):
        if status.st_blocks * 512 >= status.st_size:
            return _whole(status.st_size)
        return _whole(_data(path))
    if stat.S_ISLNK(status.st_mode) and status.st_size >= _FAST_LINK:
        return BLOCK
    return 0


def _data(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return sum(_whole(end) - start // BLOCK * BLOCK for start, end in data_ranges(descriptor))
    finally:
        os.close(descriptor)


def _whole(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
