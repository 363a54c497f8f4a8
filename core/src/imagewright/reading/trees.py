"""A tree of files inside an image: what all filesystems have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from imagewright.reading.blocks import CHUNK, Blocks
from imagewright.reading.errors import Damaged, Unsupported

LARGEST_FOLDER = 2**25
"""Bytes that a folder may have."""

_LARGEST_FILE = 2**32
_LINKS = 40
_FORMATS = {0o100000: "file", 0o040000: "folder", 0o120000: "link"}


class Kind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"

    @classmethod
    def of(cls, mode: int) -> Kind:
        """The kind by the mode of an inode."""
        return cls(_FORMATS.get(mode & 0o170000, "other"))


class Node(NamedTuple):
    """A file, folder or link. ``size`` in bytes; ``detail`` is the filesystem's own."""

    kind: Kind
    size: int
    reference: Any
    detail: Any = None


class Status(NamedTuple):
    """What an inode says beside its content: as in stat(2). ``time`` is that of the last change, in nanoseconds."""

    mode: int
    uid: int
    gid: int
    links: int
    time: int


class Tree(ABC):
    """The files of one filesystem, or of one of its subvolumes. All methods raise Damaged for a damaged image.

    ``type`` is ext4, xfs, btrfs, vfat or tar; ``uuid`` and ``label`` are the filesystem's. ``subvolume`` is a path if
    the tree is a subvolume other than the one that is mounted by default. ``notes`` says what the reader should know.
    """

    type = ""
    uuid = ""
    label = ""
    subvolume = ""
    notes: tuple[str, ...] = ()
    capacity = 0
    owners = False  # whether files have owners, modes and attributes

    def __init__(self) -> None:
        self._listed: dict[Any, dict[str, Any]] = {}

    @abstractmethod
    def root(self) -> Any:
        """The reference of the top folder."""

    @abstractmethod
    def node(self, reference: Any) -> Node:
        """What a reference stands for."""

    @abstractmethod
    def entries(self, node: Node) -> dict[str, Any]:
        """The names in a folder with their references, without ``.`` and ``..``."""

    @abstractmethod
    def target(self, node: Node) -> str:
        """Where a link leads."""

    @abstractmethod
    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file, in order, in pieces; holes are zeros."""

    def status(self, node: Node) -> Status:
        """Owner, mode, links and time. Raises Unsupported where the reader does not know them."""
        raise Unsupported(f"owners and modes of a {self.type} are not read")

    def attributes(self, node: Node) -> dict[str, bytes]:
        """The extended attributes by their names of xattr(7), as setxattr(2) takes them. Raises Unsupported."""
        raise Unsupported(f"extended attributes of a {self.type} are not read")

    def find(self, path: str, *, follow: bool = True) -> Node | None:
        """What ``path`` leads to, links followed within the tree; None if there is nothing."""
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        trail = [self.node(self.root())]
        links = 0
        while pending:
            part = pending.pop()
            here = trail[-1]
            if here.kind is not Kind.FOLDER:
                return None
            if part == "..":
                del trail[1 if len(trail) == 1 else -1 :]
                continue
            reference = self._names(here).get(part)
            if reference is None:
                return None
            node = self.node(reference)
            if node.kind is Kind.LINK and (pending or follow):
                links += 1
                if links > _LINKS:
                    return None
                target = self.target(node)
                if target.startswith("/"):
                    del trail[1:]
                pending += [part for part in reversed(target.split("/")) if part and part != "."]
            else:
                trail.append(node)
                if len(trail) > 1000:
                    raise Damaged(f"the path {path} is too deep")
        return trail[-1]

    def names(self, path: str) -> tuple[str, ...]:
        """The sorted names in the folder ``path``; none if there is no such folder."""
        node = self.find(path)
        return tuple(sorted(self._names(node))) if node is not None and node.kind is Kind.FOLDER else ()

    def chunks(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file; at most the size of the filesystem, since anything else is damage."""
        if node.kind is not Kind.FILE:
            raise Damaged("what should be a file is none")
        if node.size > min(_LARGEST_FILE, self.capacity):
            raise Damaged(f"a file of {node.size} bytes cannot be in a filesystem of {self.capacity} bytes")
        return self.content(node)

    def text(self, path: str, limit: int = 2**20) -> str | None:
        """The first ``limit`` bytes of a file as text; None if there is none."""
        node = self.find(path)
        if node is None or node.kind is not Kind.FILE:
            return None
        data = bytearray()
        for chunk in self.chunks(node):
            data += chunk
            if len(data) >= limit:
                break
        return bytes(data[:limit]).decode("utf-8", "replace")

    def _names(self, node: Node) -> dict[str, Any]:
        known = self._listed.get(node.reference)
        if known is None:
            known = self._listed[node.reference] = self.entries(node)
        return known


Piece = tuple[int, int, int | None]
"""Bytes of a file: where they begin in it, how many they are, where they lie on the disk (None for zeros)."""


def assembled(blocks: Blocks, pieces: Iterable[Piece], size: int) -> Iterator[bytes]:
    """The bytes of a file of ``size`` bytes. Raises Damaged if pieces overlap or are out of order."""
    at = 0
    for start, length, place in pieces:
        if start < at or length <= 0:
            raise Damaged("the pieces of a file overlap")
        start, length = min(start, size), min(length, max(0, size - start))
        yield from zeros(start - at)
        at = start + length
        if place is None:
            yield from zeros(length)
            continue
        while length:
            count = min(length, CHUNK)
            yield blocks.read(place, count)
            place += count
            length -= count
        if at >= size:
            return
    yield from zeros(size - at)


def zeros(count: int) -> Iterator[bytes]:
    """That many zero bytes, in pieces."""
    while count > 0:
        yield bytes(min(count, CHUNK))
        count -= CHUNK


def name_of(raw: bytes) -> str:
    """A name in a folder as text; what is no UTF-8 survives."""
    return raw.decode("utf-8", "surrogateescape")
