"""Finished files: what they are, and copies of them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from imagewright.disk.copying import copy_data, data_ranges

_ZEROS = memoryview(bytes(1 << 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A finished file with its SHA-256 hex digest, which is computed once: a disk may have many GiB."""

    path: Path
    sha256: str


def finished(path: Path) -> Artefact:
    """The artefact that lies at ``path``."""
    return Artefact(path=path, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 hex digest of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        # to read the holes of a disk costs more than to count its zeros
        size, done = os.fstat(stream.fileno()).st_size, 0
        for start, end in [*data_ranges(stream.fileno()), (size, size)]:
            for position in range(done, start, len(_ZEROS)):
                digest.update(_ZEROS[: start - position])
            stream.seek(start)
            while block := stream.read(min(len(_ZEROS), end - stream.tell())):
                digest.update(block)
            done = end
    return digest.hexdigest()


def copied(source: Path, place: Path) -> None:
    """Copy a file with its holes; where the filesystem can, the two share their blocks until one changes.

    Raises OSError.
    """
    with source.open("rb") as reading, place.open("wb") as writing:
        copy_data(reading.fileno(), writing.fileno())
