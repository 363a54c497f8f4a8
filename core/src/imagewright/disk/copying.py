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
_CHUNK = 1 << 24


def copy_sparse(source: Path, destination: Path, *, offset: int = 0) -> None:
    """Copy the data of ``source`` into ``destination`` from byte ``offset`` on; holes are skipped, not written.

    ``destination`` is made if it is not there. Raises HostError if the disk is full.
    """
    with source.open("rb") as reader, clear_errors(destination):
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            copy_data(reader.fileno(), descriptor, offset=offset)
        finally:
            os.close(descriptor)


def copy_data(source: int, destination: int, *, offset: int = 0) -> None:
    """:func:`copy_sparse` between open files; an empty one shares the blocks if the filesystem can. Raises OSError."""
    size = os.fstat(source).st_size
    if os.fstat(destination).st_size < offset + size:
        os.ftruncate(destination, offset + size)
    if offset or not _clone(source, destination):
        for start, end in data_ranges(source):
            _copy(source, destination, start, end, offset)


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


def _clone(source: int, destination: int) -> bool:
    """Let an empty file share the blocks of another until one of them changes; whether the filesystem could."""
    if os.fstat(destination).st_blocks:
        return False  # a clone would replace what is there already
    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError:
        return False
    return True


def _copy(source: int, destination: int, start: int, end: int, offset: int) -> None:
    by_range = True
    while start < end:
        if by_range:
            try:
                count = os.copy_file_range(source, destination, end - start, start, offset + start)
            except OSError as error:
                # Across filesystems older kernels refuse; a full disk is no reason to try the slow way.
                if error.errno in NO_ROOM:
                    raise
                by_range = False
                continue
            if count == 0:
                by_range = False
                continue
        else:
            os.lseek(destination, offset + start, os.SEEK_SET)
            count = os.sendfile(destination, source, start, min(_CHUNK, end - start))
            if count == 0:  # the source has become shorter
                return
        start += count
