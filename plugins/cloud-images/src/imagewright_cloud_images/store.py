"""Images in the caller's cache: each under its digest, with notes of what an address led to last."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

_KEPT = 24 * 3600
"""Seconds for which an image that no address leads to any more stays after its last use."""

_PARTS_KEPT = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What an address led to when it was asked last. ``asked`` in seconds since 1970."""

    address: str
    name: str
    digest: str
    signer: str
    asked: float


class Store:
    """Below ``folder``: ``images`` by digest, ``parts`` of downloads by digest, ``notes`` by what was asked for."""

    def __init__(self, folder: Path) -> None:
        self._images = folder / "images"
        self._parts = folder / "parts"
        self._notes = folder / "notes"
        for place in (self._images, self._parts, self._notes):
            place.mkdir(parents=True, exist_ok=True)

    def image(self, digest: str) -> Path:
        """Where the image of that digest lies, or would."""
        return self._images / digest

    def has(self, digest: str) -> bool:
        """Whether the image is there and whole; one that was changed since is removed."""
        path, seal = self.image(digest), self._seal(digest)
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        try:
            sealed = seal.read_text()
        except FileNotFoundError:
            sealed = ""
        if sealed != _stated(status):
            if digest_of_file(path) != digest:
                path.unlink()
                seal.unlink(missing_ok=True)
                return False
            seal.write_text(_stated(status))
        os.utime(seal)
        return True

    def part(self, digest: str) -> Path:
        """Where a download of that digest grows."""
        return self._parts / digest

    def keep(self, part: Path, digest: str) -> Path:
        """Make an image of a finished part, whose digest the caller has compared."""
        path = self.image(digest)
        part.chmod(0o644)  # mapped root reads it
        os.replace(part, path)
        self._seal(digest).write_text(_stated(path.stat()))
        return path

    @contextmanager
    def locked(self, digest: str) -> Iterator[None]:
        """Two builds that want one image fetch it once."""
        with FileLock(f"{self._parts / digest}.lock"):
            yield

    def note(self, asked_for: str) -> Note | None:
        """What was found last time."""
        return _read(self._note(asked_for))

    def write_note(self, asked_for: str, note: Note) -> None:
        """Remember it for a build that may ask nobody, and forget images that nothing leads to any more."""
        path = self._note(asked_for)
        fresh = path.with_suffix(f".{secrets.token_hex(6)}")
        fresh.write_text(json.dumps(asdict(note)))
        os.replace(fresh, path)
        self._tidy()

    def _tidy(self) -> None:
        wanted = {note.digest for path in self._notes.glob("*.json") if (note := _read(path))}
        now = time.time()
        for image in [path for path in self._images.iterdir() if path.suffix != ".seal"]:
            seal = self._seal(image.name)
            if image.name not in wanted and now - (_changed(seal) or _changed(image)) > _KEPT:
                image.unlink(missing_ok=True)
                seal.unlink(missing_ok=True)
        for part in self._parts.iterdir():
            if now - _changed(part) > _PARTS_KEPT and not part.name.endswith(".lock"):
                part.unlink(missing_ok=True)

    def _seal(self, digest: str) -> Path:
        return self._images / f"{digest}.seal"

    def _note(self, asked_for: str) -> Path:
        return self._notes / f"{hashlib.sha256(asked_for.encode()).hexdigest()}.json"


def _changed(path: Path) -> float:
    """When a file was changed, in seconds since 1970; 0 if it is not there any more."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _read(path: Path) -> Note | None:
    """A note; None if there is none, or one that a crash of the machine left in pieces."""
    try:
        return Note(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def digest_of_file(path: Path) -> str:
    """The SHA-256 hex digest of a file. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stated(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
