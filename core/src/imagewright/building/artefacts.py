"""Writing the artefacts and putting them in place by rename, complete or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagewright.errors import HostError

_FICLONE = 0x40049409  # ioctl_ficlone(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A finished file with its SHA-256 hex digest, which is computed once: a disk may have many GiB."""

    path: Path
    sha256: str


def finished(path: Path) -> Artefact:
    """The artefact that lies at ``path``."""
    return Artefact(path=path, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def passing_name(place: Path) -> Path:
    """Where a file that is ready waits to take its place."""
    return place.with_name(f".{place.name}.{os.getpid()}")


def publish(files: Sequence[tuple[Path, Path]], mode: int) -> None:
    """Move each finished file to its place, replacing what was there; on failure the places are as they were.

    ``mode`` holds the permission bits. Files of another filesystem are first copied beside their place without a name,
    so that a killed builder leaves nothing half-written where the filesystem can do that. Raises HostError.
    """
    prepared: list[tuple[Path, Path]] = []
    earlier: list[tuple[Path, Path]] = []
    try:
        for source, place in files:
            prepared.append((_beside(source, place, mode), place))
        for ready, place in prepared:
            if place.exists() and not place.is_dir():
                kept = passing_name(place).with_suffix(".old")
                place.rename(kept)
                earlier.append((kept, place))
            ready.replace(place)
        for kept, _place in earlier:
            kept.unlink()
    except OSError as error:
        for ready, place in prepared:
            if not ready.exists() and not place.is_dir():
                place.unlink(missing_ok=True)
            ready.unlink(missing_ok=True)
        for kept, place in earlier:
            kept.rename(place)
        raise HostError(
            "unwritable-output",
            f"the artefacts cannot be put in place: {error.strerror}",
            where=(f"file: {error.filename2 or error.filename or files[0][1]}",),
            cause="the earlier file, if there was one, is untouched",
            hint="name another file with --output",
            option="output",
        ) from error


def _beside(source: Path, place: Path, mode: int) -> Path:
    """Make the finished file appear on the filesystem of its place, under a passing name."""
    passing = passing_name(place)
    try:
        source.rename(passing)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        _hand_over(passing, mode)
        return passing
    descriptor, nameless = _opened(passing)
    try:
        with source.open("rb") as reading, os.fdopen(os.dup(descriptor), "wb") as writing:
            _copy_sparse(reading.fileno(), writing.fileno(), source.stat().st_size)
        os.fchmod(descriptor, mode)
        if nameless:
            # Python follows the link only if it is given a folder's descriptor too; the path is absolute all the same
            os.link(f"/proc/self/fd/{descriptor}", passing, src_dir_fd=descriptor, follow_symlinks=True)
    except BaseException:
        if not nameless:
            passing.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return passing


def _opened(passing: Path) -> tuple[int, bool]:
    """A descriptor of a new file in the folder of ``passing``, and whether it has no name yet."""
    try:
        return os.open(passing.parent, os.O_TMPFILE | os.O_RDWR, 0o644), True
    except OSError as error:
        # NFS, FAT and what runs on FUSE have no files without a name (open(2))
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
    return os.open(passing, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644), False


def _hand_over(path: Path, mode: int) -> None:
    # a file that mapped root made belongs to the caller from now on, with the mode that they would have given it
    if os.getuid() == 0:
        os.chown(path, 0, 0)
    path.chmod(mode)


def copied(source: Path, place: Path) -> None:
    """Copy a file with its holes; where the filesystem can, the two share their blocks until one changes."""
    with source.open("rb") as reading, place.open("wb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            _copy_sparse(reading.fileno(), writing.fileno(), source.stat().st_size)


def _copy_sparse(reading: int, writing: int, size: int) -> None:
    os.ftruncate(writing, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(reading, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(reading, start, os.SEEK_HOLE)
        os.lseek(reading, start, os.SEEK_SET)
        os.lseek(writing, start, os.SEEK_SET)
        left = end - start
        while left:
            sent = os.sendfile(writing, reading, None, min(left, 1 << 24))
            if not sent:
                break
            left -= sent
        position = end
