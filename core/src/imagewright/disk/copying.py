"""Copies files with their holes, as fast as the host's filesystem allows."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagewright.disk.tools import NO_ROOM, disk_full, file_too_large

_FICLONE = 0x40049409  # linux/fs.h
_CHUNK = 1 << 20


def copy_sparse(source: Path, destination: Path, *, offset: int = 0) -> None:
    """Copy the data of ``source`` into ``destination`` from byte ``offset`` on; holes are skipped, not written.

    ``destination`` is made if it is not there. Raises HostError if the disk is full.
    """
    with source.open("rb") as reader, clear_errors(destination):
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            size = os.fstat(reader.fileno()).st_size
            if os.fstat(descriptor).st_size < offset + size:
                os.ftruncate(descriptor, offset + size)
            if not (offset == 0 and clone(reader.fileno(), descriptor)):
                for start, end in data_ranges(reader.fileno()):
                    _copy(reader.fileno(), descriptor, start, end, offset)
        finally:
            os.close(descriptor)


@contextmanager
def clear_errors(destination: Path) -> Iterator[None]:
    """Raise HostError for a full disk, or a file that is too large for it, while ``destination`` is written."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise file_too_large(f"Cannot write {destination}") from error
        if error.errno in NO_ROOM:
            raise disk_full(f"Cannot write {destination}") from error
        raise


def link_or_copy(source: Path, destination: Path) -> None:
    """Give ``source`` a second name where that is possible and the file is the caller's own, else copy it.

    To a root caller belongs what mapped root made for them too; from then on the file is root's own. Raises HostError
    if the disk is full.
    """
    if os.geteuid() in (0, source.stat().st_uid):
        try:
            if os.geteuid() == 0:
                os.chown(source, 0, 0)
            destination.hardlink_to(source)
        except OSError:
            pass
        else:
            return
    copy_sparse(source, destination)


def data_ranges(descriptor: int) -> list[tuple[int, int]]:
    """The ranges (start, end) of a file that hold data; the whole file where the filesystem knows no holes."""
    size = os.fstat(descriptor).st_size
    ranges: list[tuple[int, int]] = []
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            return [(0, size)]
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        ranges.append((start, position))
    return ranges


def clone(source: int, destination: int) -> bool:
    """Let an empty file share the blocks of another until one of them changes; whether the filesystem could."""
    if os.fstat(destination).st_blocks:
        return False  # a clone would replace what is there already
    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError:
        return False
    return True


def _copy(source: int, destination: int, start: int, end: int, offset: int) -> None:
    in_kernel = True
    while start < end:
        if in_kernel:
            try:
                count = os.copy_file_range(source, destination, end - start, start, offset + start)
            except OSError as error:
                # Across filesystems older kernels refuse; a full disk is no reason to try the slow way.
                if error.errno in NO_ROOM:
                    raise
                in_kernel = False
                continue
            if count == 0:
                in_kernel = False
                continue
        else:
            block = os.pread(source, min(_CHUNK, end - start), start)
            if not block:
                return
            count = os.pwrite(destination, block, offset + start)
        start += count
