"""What differs between two stacks of layers, as far as it can matter to a step that ran on the first one.

Standard library only: it is called as mapped root in the sandbox. The layers are read as they lie, not mounted, and
seen as the overlay sees them: whiteouts and opaque folders hide what is below.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

_OPAQUE = "user.overlay.opaque"  # overlayfs(5), with the mount option userxattr
_OWN = "user.overlay."
_PIECE = 1 << 18
_NANOSECONDS = 10**9


def difference(
    *, before: list[str], after: list[str], layer: str, opened: list[str], listed: list[str], epoch: int
) -> str:
    """Why a step that made ``layer`` on the layers ``before`` may make another one on ``after``; empty if it may not.

    Both are folders, bottom first. ``opened`` are the files and ``listed`` the folders that it opened, as paths
    relative to the tree. Nothing that differs is passed over but the content of a file that was not empty nor is, that
    the step did not open and its layer does not have; and times, except of what the step opened or its layer has. Times
    after ``epoch`` (seconds since 1970) are one: no image has later ones. Raises OSError if a layer cannot be read.
    """
    shared = 0
    while shared < min(len(before), len(after)) and before[shared] == after[shared]:
        shared += 1
    judge = _Judge(Stack(before), Stack(after), layer, frozenset(opened), frozenset(listed), epoch)
    hiding = set()
    for fresh in (*before[shared:], *after[shared:]):
        for path, hides in _entries(fresh):
            if why := judge.why(path):
                return why
            if hides:
                hiding.add(path)
    # what lies in the layers that both have may be hidden in one of them alone
    common = Stack(before[:shared])
    for path in sorted(hiding):
        for folder in common.folders(path):
            for below, _hides in _entries(folder, path):
                if why := judge.why(below):
                    return why
    return ""


class Stack:
    """Layers seen as one tree; paths are relative, and the tree itself is the empty one."""

    def __init__(self, layers: Sequence[str]) -> None:
        """``layers`` are folders, bottom first."""
        self._layers = tuple(reversed(layers))
        self._folders: dict[str, tuple[str, ...]] = {"": self._layers}
        self._links: dict[str, dict[int, list[str]]] = {}

    def folders(self, path: str) -> tuple[str, ...]:
        """The layers whose folders make up that at ``path``, topmost first; none if there is no folder."""
        known = self._folders.get(path)
        if known is not None:
            return known
        found = []
        for layer in self.folders(_parent(path)):
            here = f"{layer}/{path}"
            status = _status(here)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break
            found.append(layer)
            if _is_opaque(here):
                break
        self._folders[path] = tuple(found)
        return self._folders[path]

    def names(self, path: str) -> frozenset[str]:
        """The names under which the file at ``path`` is seen, its own among them."""
        seen = self.entry(path)
        if seen is None or seen[1].st_nlink < 2:
            return frozenset({path})
        place, status = seen
        layer = place.removesuffix(f"/{path}")
        alike = self._linked(layer).get(status.st_ino, ())
        return frozenset(name for name in alike if (found := self.entry(name)) and found[0] == f"{layer}/{name}")

    def _linked(self, layer: str) -> dict[int, list[str]]:
        """The files of a layer that have several names in it, by their inode numbers."""
        if layer not in self._links:
            links: dict[int, list[str]] = {}
            for name, _hides in _entries(layer):
                status = os.lstat(f"{layer}/{name}")
                if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    links.setdefault(status.st_ino, []).append(name)
            self._links[layer] = links
        return self._links[layer]

    def entry(self, path: str) -> tuple[str, os.stat_result] | None:
        """What is seen at ``path``: where it lies, and its status."""
        for layer in self.folders(_parent(path)) if path else self._layers[:1]:
            status = _status(f"{layer}/{path}")
            if status is not None:
                return None if _is_whiteout(status) else (f"{layer}/{path}", status)
        return None


class _Judge:
    """Says of one path whether its difference can matter."""

    def __init__(
        self, before: Stack, after: Stack, layer: str, opened: frozenset[str], listed: frozenset[str], epoch: int
    ) -> None:
        self._before = before
        self._after = after
        self._layer = layer
        self._opened = opened
        self._listed = listed
        self._latest = epoch * _NANOSECONDS

    def why(self, path: str) -> str:
        """What differs at ``path`` and can matter, as the end of a sentence; empty if nothing does."""
        old, new = self._before.entry(path), self._after.entry(path)
        if old is None or new is None:
            return "" if old is new else f"/{path} {'was not there' if old is None else 'is gone'}"
        (place, was), (other, now) = old, new
        if place == other:
            return ""
        if stat.S_IFMT(was.st_mode) != stat.S_IFMT(now.st_mode) or was.st_rdev != now.st_rdev:
            return f"/{path} was something else"
        if (was.st_mode, was.st_uid, was.st_gid) != (now.st_mode, now.st_uid, now.st_gid):
            return f"/{path} had another mode or owner"
        if _attributes(place) != _attributes(other):
            return f"/{path} had other attributes"
        if stat.S_ISREG(was.st_mode):
            return self._file(path, place, was, other, now)
        if stat.S_ISLNK(was.st_mode):
            same = os.readlink(place) == os.readlink(other) and self._same_time(was, now)
            return "" if same else f"/{path} was another link"
        if stat.S_ISDIR(was.st_mode) and path not in self._listed and not _decides(self._layer, path):
            return ""
        return "" if self._same_time(was, now) else f"/{path} had another time"

    def _file(self, path: str, place: str, was: os.stat_result, other: str, now: os.stat_result) -> str:
        if was.st_nlink != now.st_nlink or self._before.names(path) != self._after.names(path):
            return f"/{path} had other names"
        decided = _decides(self._layer, path)
        if path in self._opened or decided:
            if self._same_time(was, now) and _same_content(place, was, other, now):
                return ""
            return f"/{path}, which it {'changed' if decided else 'read'}, has changed"
        return f"/{path} is empty or was" if bool(was.st_size) != bool(now.st_size) else ""

    def _same_time(self, was: os.stat_result, now: os.stat_result) -> bool:
        return min(was.st_mtime_ns, self._latest) == min(now.st_mtime_ns, self._latest)


def _entries(layer: str, top: str = "") -> Iterator[tuple[str, bool]]:
    """Everything that a layer has at and below ``top``, and whether it hides what lower layers have below it."""
    status = os.lstat(f"{layer}/{top}" if top else layer)
    folder = stat.S_ISDIR(status.st_mode)
    yield top, bool(top) and (not folder or _is_opaque(f"{layer}/{top}"))
    left = [top] if folder else []
    while left:
        here = left.pop()
        with os.scandir(f"{layer}/{here}") as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{here}/{entry.name}" if here else entry.name
            if entry.is_dir(follow_symlinks=False):
                left.append(path)
                yield path, _is_opaque(f"{layer}/{path}")
            else:
                yield path, True


def _decides(layer: str, path: str) -> bool:
    """Whether the layer has or hides what is at ``path``, whatever lies below it."""
    here = layer
    for name in path.split("/"):
        here = f"{here}/{name}"
        status = _status(here)
        if status is None:
            return False
        if not stat.S_ISDIR(status.st_mode) or _is_opaque(here):
            return True
    return True


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(folder: str) -> bool:
    return _OPAQUE in os.listxattr(folder, follow_symlinks=False)


def _attributes(path: str) -> list[tuple[str, bytes]]:
    """The extended attributes that a job sees."""
    names = sorted(name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(_OWN))
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]


def _same_content(place: str, was: os.stat_result, other: str, now: os.stat_result) -> bool:
    if was.st_size != now.st_size:
        return False
    with open(place, "rb") as first, open(other, "rb") as second:
        while piece := first.read(_PIECE):
            if second.read(_PIECE) != piece:
                return False
    return True
