"""Putting finished files in place by rename: all of them, or the places are as they were, however the builder ends.

What is done is written down first, in a folder of its own below the cache. A builder that is interrupted undoes it by
that note, and the note of one that was killed is found by the next command, which does the same (:func:`undo_killed`).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imagewright.disk.copying import copy_data
from imagewright.errors import HostError
from imagewright.layers import locks
from imagewright.layers.store import write_whole

_NOTE = "note.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One file on its way: it waits as ``passing``, and what was at ``place`` before is kept as ``earlier``.

    ``number`` is what the waiting file is known by wherever it is: device, inode, size, time; empty until it is there.
    """

    place: str
    passing: str
    earlier: str
    number: tuple[int, ...] = ()


def passing_name(place: Path, unique: str = "00000000") -> Path:
    """Where a file that is ready waits to take its place; as long for every ``unique``."""
    return place.with_name(f".{place.name}.{unique}")


def earlier_name(place: Path, unique: str = "00000000") -> Path:
    """Where the file that is replaced waits until all have taken their places."""
    return place.with_name(f".{place.name}.{unique}.old")


def publish(files: Sequence[tuple[Path, Path]], mode: int, cache_dir: Path) -> None:
    """Move each finished file to its place, replacing what was there; on failure the places are as they were.

    ``mode`` holds the permission bits. Files of another filesystem are first copied beside their place without a name
    where the filesystem can do that. Builders of the same folder put their files in place one after the other. A cache
    that takes no note does not keep the files from their places: then only a builder that is killed leaves traces.
    Raises HostError.
    """
    # the earlier file of a place that is taken twice could not be put back
    assert len({place for _source, place in files}) == len(files), files
    unique = secrets.token_hex(4)
    moves = [
        Move(place=str(place), passing=str(passing_name(place, unique)), earlier=str(earlier_name(place, unique)))
        for _source, place in files
    ]
    try:
        with _noting(cache_dir) as note:
            note.write(moves)
            try:
                moves = [_ready(source, move, mode) for (source, _place), move in zip(files, moves, strict=True)]
                # a folder under two names would wait for itself
                with alone_in({Path(move.place).parent.resolve() for move in moves}):
                    note.write(moves)
                    for move in moves:
                        _keep_earlier(move)
                        os.replace(move.passing, move.place)
                    note.write(moves, done=True)
            except BaseException:
                note.write(moves)
                _undo(moves)
                note.forget()
                raise
            try:
                _forget_earlier(moves)
            except BaseException:  # an interrupt; what is left to do takes no time
                _forget_earlier(moves)
                note.forget()
                raise
            note.forget()
    except OSError as error:
        raise HostError(
            "unwritable-output",
            f"the artefacts cannot be put in place: {error.strerror}",
            where=(f"file: {error.filename2 or error.filename or files[0][1]}",),
            cause="the earlier file, if there was one, is untouched",
            hint="name another file with --output",
            option="output",
        ) from error


def undo_killed(cache_dir: Path) -> None:
    """Undo what builders that were killed had begun to put in place, by the notes below the cache."""
    for folder in (cache_dir / "publishing").glob("*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            # a note of somebody else's is no order to move files
            if folder.lstat().st_uid != os.geteuid():
                continue
            held = locks.seize(folder)
            if held is None:
                continue
            try:
                _undo_noted(folder / _NOTE)
                shutil.rmtree(folder)
            finally:
                os.close(held)


def _undo_noted(note: Path) -> None:
    if not note.exists():
        return
    document = json.loads(note.read_text())
    moves = [Move(**{**move, "number": tuple(move["number"])}) for move in document["moves"]]
    if document["done"]:
        _forget_earlier(moves)
    else:
        _undo(moves)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """Where it is written down what is done; ``folder`` is None if the cache takes no notes."""

    folder: Path | None

    def write(self, moves: Sequence[Move], *, done: bool = False) -> None:
        """Replace what was written."""
        if self.folder is not None:
            with suppress(OSError):
                write_whole(self.folder / _NOTE, json.dumps({"moves": [asdict(move) for move in moves], "done": done}))

    def forget(self) -> None:
        """Remove it: everything is as it shall be."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def _noting(cache_dir: Path) -> Iterator[_Note]:
    """A note under a lock that ends with this process, while the note itself stays until it is forgotten."""
    folder = held = None
    try:
        with suppress(OSError):
            parent = cache_dir / "publishing"
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # another builder may take a folder that has no lock yet for one of a dead builder
            while held is None:
                folder = Path(tempfile.mkdtemp(dir=parent))
                held = locks.share(folder)
        yield _Note(folder=folder if held is not None else None)
    finally:
        if held is not None:
            os.close(held)


def _ready(source: Path, move: Move, mode: int) -> Move:
    """Make the finished file wait on the filesystem of its place."""
    _beside(source, Path(move.passing), mode)
    return replace(move, number=_number(move.passing))


def _keep_earlier(move: Move) -> None:
    if not os.path.lexists(move.place) or os.path.isdir(move.place):
        return
    try:
        # a second name, so that there is a file at the place at any moment
        os.link(move.place, move.earlier, follow_symlinks=False)
    except OSError as error:
        # FAT and some servers know no second names
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES):
            raise
        os.rename(move.place, move.earlier)


def _undo(moves: Sequence[Move]) -> None:
    """Put everything back; what somebody else put at a place meanwhile stays."""
    for move in moves:
        ours = bool(move.number) and _number(move.place) == move.number
        if os.path.lexists(move.earlier):
            same = _number(move.earlier) == _number(move.place)
            if (ours or not os.path.lexists(move.place)) and not same:
                os.replace(move.earlier, move.place)
            else:
                os.unlink(move.earlier)
        elif ours:
            os.unlink(move.place)
        with suppress(FileNotFoundError):
            os.unlink(move.passing)


def _forget_earlier(moves: Sequence[Move]) -> None:
    for move in moves:
        with suppress(OSError):
            os.unlink(move.earlier)


def _number(path: str) -> tuple[int, ...]:
    try:
        status = os.lstat(path)
    except OSError:
        return ()
    # a number of an inode is given away again at once
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def alone_in(folders: set[Path]) -> Iterator[None]:
    """Keep other builders from putting files of the same names in place at the same time, where the folder can."""
    held = []
    try:
        for folder in sorted(folders):
            # a folder that may not be looked into, or a server that lends no locks, is no reason to lose a build
            with suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                held.append(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def _beside(source: Path, passing: Path, mode: int) -> None:
    """Make the finished file appear on the filesystem of its place, under a passing name."""
    try:
        source.rename(passing)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        _hand_over(passing, mode)
        return
    descriptor, nameless = _opened(passing)
    try:
        with source.open("rb") as reading, os.fdopen(os.dup(descriptor), "wb") as writing:
            copy_data(reading.fileno(), writing.fileno())
        os.fchmod(descriptor, mode)
        if nameless:
            # Python follows the link only if it is given a folder's descriptor too; the path is absolute all the same
            os.link(f"/proc/self/fd/{descriptor}", passing, src_dir_fd=descriptor, follow_symlinks=True)
    finally:
        os.close(descriptor)


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
