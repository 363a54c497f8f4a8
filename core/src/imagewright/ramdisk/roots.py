"""A folder read as the root of a filesystem: links lead where they lead in it, never out of it."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imagewright.errors import StepFailed
from imagewright.ramdisk.archive import Member

_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What one path is: ``mode`` is that of stat(2), ``size`` in bytes, ``target`` where a link points.

    ``moment`` is when it was changed, in seconds since 1970; 0 if that is not known.
    """

    mode: int
    size: int
    target: str = ""
    moment: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a path leads to. ``path`` has no links in it and no leading slash; ``links`` are those passed on the way.

    ``mode`` is that of stat(2); ``links`` holds (path, target, where the target leads), the first passed first.
    """

    path: str
    mode: int
    size: int
    moment: int = 0
    links: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def executable(self) -> bool:
        """Whether it is a file that somebody may execute."""
        return self.is_file and bool(self.mode & 0o111)


@contextmanager
def reading() -> Iterator[None]:
    """A file that cannot be read becomes one clear error: raises StepFailed for it, and passes other errors on."""
    try:
        yield
    except (PermissionError, FileNotFoundError) as error:
        raise StepFailed(
            "file-unreadable",
            f"a file for the ramdisk cannot be read: {error.strerror}",
            where=(f"file: {error.filename}",),
            hint="let yourself read it, or take it from the root tree",
        ) from error


class Root:
    """The root of a filesystem; ``name`` is what a manifest calls it. What was looked up once is remembered.

    A root that is no folder overrides :meth:`look`, :meth:`listed`, :meth:`content` and :meth:`source`.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.folder = folder.rstrip("/")
        self.name = name
        self._known: dict[str, Status | None] = {}

    def place(self, path: str) -> str:
        """Where a path without links lies on the machine."""
        return f"{self.folder}/{path.lstrip('/')}"

    def find(self, path: str) -> Found | None:
        """What ``path`` leads to; None if there is nothing, or a circle of links."""
        left = [part for part in reversed(path.split("/")) if part and part != "."]
        here = ""
        links: list[tuple[str, str, str]] = []
        status = self._status("")
        while left:
            part = left.pop()
            if part == "..":
                here = posixpath.dirname(here)
                status = self._status(here)
                continue
            candidate = f"{here}/{part}" if here else part
            status = self._status(candidate)
            if status is None:
                return None
            if stat.S_ISLNK(status.mode):
                target = status.target
                if len(links) == _MOST_LINKS:
                    return None
                base = "" if target.startswith("/") else here
                links.append((candidate, target, posixpath.normpath(posixpath.join("/", base, target)).lstrip("/")))
                here = base
                left += [piece for piece in reversed(target.split("/")) if piece and piece != "."]
                continue
            if left and not stat.S_ISDIR(status.mode):
                return None
            here = candidate
        if status is None:
            return None
        if stat.S_ISLNK(status.mode):
            status = self._status(here)
            if status is None:
                return None
        return Found(path=here, mode=status.mode, size=status.size, moment=status.moment, links=tuple(links))

    def names(self, path: str) -> tuple[str, ...]:
        """The sorted names in a folder; none if there is no such folder."""
        found = self.find(path)
        if found is None or not found.is_folder:
            return ()
        return tuple(sorted(self.listed(found.path)))

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if there is none."""
        found = self.find(path)
        if found is None or not found.is_file:
            return None
        return self.content(found.path)

    def content(self, path: str) -> bytes:
        """The content of the file at a path without links. Raises OSError."""
        with open(self.place(path), "rb") as stream:
            return stream.read()

    def text(self, path: str) -> str:
        """The content of a text file; empty if there is none."""
        return (self.read(path) or b"").decode("utf-8", "replace")

    def source(self, path: str) -> str:
        """The place of a file for who copies it later; empty if its content must be asked for now."""
        return self.place(path)

    def look(self, path: str) -> Status | None:
        """What is at a path whose folders are no links; None if there is nothing."""
        try:
            status = os.lstat(self.place(path))
            target = os.readlink(self.place(path)) if stat.S_ISLNK(status.st_mode) else ""
        except OSError:
            return None
        return Status(mode=status.st_mode, size=status.st_size, target=target, moment=int(status.st_mtime))

    def listed(self, path: str) -> Iterable[str]:
        """The names in a folder whose path has no links. Raises OSError."""
        return os.listdir(self.place(path))

    def member(self, found: Found, at: str, mode: int) -> Member:
        """The file as a member of an archive, at another path. Raises OSError."""
        source = self.source(found.path)
        content = b"" if source else self.content(found.path)
        return Member(path=at, mode=mode, source=source, content=content)

    def _status(self, path: str) -> Status | None:
        if path not in self._known:
            self._known[path] = self.look(path)
        return self._known[path]
