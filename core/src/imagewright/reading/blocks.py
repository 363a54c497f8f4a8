"""Bytes by offset: what every format of an image looks like to the readers of tables and filesystems."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from imagewright.reading.errors import Damaged

CHUNK = 2**18
"""Bytes that are read and passed on at once: still in the processor's cache when they are written."""

_LARGEST = 2**26


class Blocks(Protocol):
    """A disk or a part of one. ``size`` in bytes."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises Damaged if they are not all there."""
        ...


class FileBlocks:
    """A file, or a block device, as it is."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises OSError; Damaged if it is neither a file nor a block device."""
        # A FIFO would wait for its writer for ever.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(self.descriptor)
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
                kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no file"
                raise Damaged(f"it is {kind}")
            self.identity = (status.st_dev, status.st_ino)
            self.size = os.lseek(self.descriptor, 0, os.SEEK_END)
        except BaseException:
            os.close(self.descriptor)
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises Damaged behind the end of the file."""
        data = self.read_some(offset, length)
        if len(data) != length:
            raise Damaged(f"the image ends at byte {self.size}, but bytes {offset} to {offset + length} are needed")
        return data

    def read_some(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes, fewer at the end of the file."""
        _check(offset, length)
        if offset >= self.size:
            return b""
        parts = []
        while length:
            part = os.pread(self.descriptor, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


class Window:
    """A part of other blocks, such as a partition."""

    def __init__(self, blocks: Blocks, offset: int, size: int) -> None:
        self._blocks = blocks
        self._offset = offset
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises Damaged outside the part."""
        _check(offset, length)
        if offset + length > self.size:
            raise Damaged(f"byte {offset + length} is wanted of a partition of {self.size} bytes")
        return self._blocks.read(self._offset + offset, length)


def _check(offset: int, length: int) -> None:
    if offset < 0 or length < 0 or length > _LARGEST or offset > 2**63:
        raise Damaged(f"{length} bytes at {offset} make no sense")
