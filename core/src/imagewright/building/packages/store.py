"""The store of package archives that all builds of a cache share, found by what is in them.

The folder ``packages/store`` of the cache holds two kinds of files, named after the archive's SHA-256 digest::

    DIGEST.package            the archive, as it was fetched
    DIGEST.plain.OWN_DIGEST   the same without compression, so that it is unpacked for next to nothing

``store_of(cache_dir).lay(digest, place)`` gives the archive at a place of one's own, read whole and proven to be that
one; ``add`` puts one in. Files appear by rename, so that a builder that is killed leaves none by half and two builders
need not wait for each other; both then have the same content. A file that is not what its name says is removed when it
is looked for. What was laid is a link or a copy and stays when the store is pruned.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MOST = 6 * 2**30
"""Bytes of package archives, plain ones among them, that builds leave in the cache."""

_NAME = re.compile(r"([0-9a-f]{64})\.(?:package|plain\.([0-9a-f]{64}))")
_UNFINISHED = 24 * 3600


@dataclass(frozen=True, slots=True)
class PackageStore:
    """The store in ``folder``, which is made when something is put in. Not all archives have a plain form."""

    folder: Path

    def find(self, digest: str) -> Path | None:
        """The archive with this SHA-256 hex digest; None if there is none, or it was damaged."""
        return _proven(self.folder / f"{digest}.package", digest)

    def plain(self, digest: str) -> Path | None:
        """The plain form of the archive with this digest; None if there is none, or it was damaged."""
        for path in self.folder.glob(f"{digest}.plain.*"):
            named = _NAME.fullmatch(path.name)
            if named and named[2] and (found := _proven(path, named[2])):
                return found
        return None

    def lay(self, digest: str, place: Path) -> bool:
        """Lay the archive with this digest at ``place``; whether it was there. Raises OSError of the place."""
        return _laid(self.find(digest), place)

    def lay_plain(self, digest: str, place: Path) -> bool:
        """Lay the archive's plain form at ``place``; whether there was one. Raises OSError of the place."""
        return _laid(self.plain(digest), place)

    def add(self, source: Path) -> str:
        """Put a copy of the archive ``source`` in; its digest. Raises OSError."""
        with self._passing() as passing:
            shutil.copyfile(source, passing)
            # of the copy: nobody else writes to it
            digest = _digest(passing)
            _publish(passing, self.folder / f"{digest}.package")
        return digest

    def make_plain(self, digest: str, make: Callable[[Path, Path], None]) -> Path | None:
        """The plain form of an archive of the store, made by ``make(archive, new file)`` if there is none yet.

        None if the archive is not there. Raises OSError and what ``make`` raises.
        """
        if (found := self.plain(digest)) is not None:
            return found
        archive = self.find(digest)
        if archive is None:
            return None
        with self._passing() as passing:
            make(archive, passing)
            place = self.folder / f"{digest}.plain.{_digest(passing)}"
            _publish(passing, place)
        return place

    def prune(self, *, most: int | None, oldest: float | None) -> int:
        """Remove what was unused for ``oldest`` seconds, and the longest unused beyond ``most`` bytes; bytes removed.

        Builds work with links of their own, which stay.
        """
        now, removed = time.time(), 0
        found = []
        with suppress(OSError):
            for entry in os.scandir(self.folder):
                status = entry.stat(follow_symlinks=False)
                if _NAME.fullmatch(entry.name):
                    found.append((status.st_mtime, status.st_size, entry.path))
                elif now - status.st_mtime > _UNFINISHED:
                    os.unlink(entry.path)
        left = sum(size for _used, size, _path in found)
        for used, size, path in sorted(found):
            if (oldest is not None and now - used > oldest) or (most is not None and left > most):
                with suppress(OSError):
                    os.unlink(path)
                    left -= size
                    removed += size
        return removed

    @contextmanager
    def _passing(self) -> Iterator[Path]:
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
        os.close(descriptor)
        path = Path(name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def store_of(cache_dir: Path) -> PackageStore:
    """The store of the cache ``cache_dir``."""
    return PackageStore(cache_dir / "packages" / "store")


def _laid(found: Path | None, place: Path) -> bool:
    if found is None:
        return False
    try:
        os.link(found, place)
    except FileNotFoundError:  # pruned in this moment
        return False
    except OSError:  # another filesystem
        shutil.copyfile(found, place)
        place.chmod(0o644)
    return True


def _publish(passing: Path, place: Path) -> None:
    # mapped root is a stranger to the store and reads it all the same
    passing.chmod(0o644)
    passing.rename(place)


def _proven(path: Path, digest: str) -> Path | None:
    try:
        if _digest(path) == digest:
            with suppress(OSError):  # of a cache that cannot be written
                os.utime(path)
            return path
        path.unlink()
    except OSError:
        pass
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
