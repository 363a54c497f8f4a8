"""Reads a tar archive of a root tree like a filesystem."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from imagewright.reading.blocks import CHUNK, FileBlocks
from imagewright.reading.errors import Damaged
from imagewright.reading.trees import Kind, Node, Status, Tree, zeros

_ATTRIBUTE = "SCHILY.xattr."


class _Stream:
    """What tarfile needs of a file."""

    def __init__(self, blocks: FileBlocks) -> None:
        self._blocks = blocks
        self._at = 0

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._blocks.size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        if count < 0:
            count = max(0, self._blocks.size - self._at)
        data = self._blocks.read_some(self._at, count)
        self._at += len(data)
        return data


class TarTree(Tree):
    """The members of an archive. A reference is a path."""

    type = "tar"
    owners = True

    def __init__(self, blocks: FileBlocks) -> None:
        super().__init__()
        self.capacity = blocks.size
        self._members: dict[str, tarfile.TarInfo] = {}
        self._folders: dict[str, set[str]] = {"": set()}
        try:
            self._archive: Any = tarfile.open(fileobj=cast("IO[bytes]", _Stream(blocks)), mode="r:")  # noqa: SIM115
            for member in self._archive:
                self._add(member)
        except (tarfile.TarError, EOFError) as error:
            raise Damaged(f"the tar archive is damaged ({error})") from error

    def _add(self, member: tarfile.TarInfo) -> None:
        path = _clean(member.name)
        self._members[path] = member
        while path:
            parent, _, name = path.rpartition("/")
            names = self._folders.setdefault(parent, set())
            if name in names:
                break
            names.add(name)
            path = parent

    def root(self) -> str:
        """The empty path."""
        return ""

    def node(self, reference: str) -> Node:
        """The member of that path; a folder that has no member of its own is one all the same."""
        member = self._members.get(reference)
        for _ in range(40):
            if member is None or not member.islnk():
                break
            member = self._members.get(_clean(member.linkname))
        if member is None:
            kind = Kind.FOLDER if reference in self._folders else Kind.OTHER
            return Node(kind=kind, size=0, reference=reference)
        kind = Kind.OTHER
        for candidate, holds in (
            (Kind.FILE, member.isreg()),
            (Kind.FOLDER, member.isdir()),
            (Kind.LINK, member.issym()),
        ):
            if holds:
                kind = candidate
        return Node(kind=kind, size=member.size, reference=reference, detail=member)

    def entries(self, node: Node) -> dict[str, str]:
        """The names in a folder."""
        prefix = f"{node.reference}/" if node.reference else ""
        return {name: prefix + name for name in self._folders.get(node.reference, ())}

    def status(self, node: Node) -> Status:
        """From the member's header; a folder without one is root's. How many links a file has is not known: 1."""
        member = node.detail
        if member is None:
            return Status(mode=0o755, uid=0, gid=0, links=1, time=0)
        time = int(member.mtime * 10**9)
        return Status(mode=member.mode & 0o7777, uid=member.uid, gid=member.gid, links=1, time=time)

    def attributes(self, node: Node) -> dict[str, bytes]:
        """Those that GNU tar and bsdtar write into the pax header."""
        headers: dict[str, str] = node.detail.pax_headers if node.detail else {}
        return {
            name.removeprefix(_ATTRIBUTE): value.encode("utf-8", "surrogateescape")
            for name, value in headers.items()
            if name.startswith(_ATTRIBUTE)
        }

    def target(self, node: Node) -> str:
        """Where a link leads."""
        return str(node.detail.linkname)

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file."""
        stream = self._archive.extractfile(node.detail)
        left = node.size
        while left > 0:
            data = stream.read(min(left, CHUNK)) if stream else b""
            if not data:
                raise Damaged("the tar archive ends in the middle of a file")
            left -= len(data)
            yield data
        yield from zeros(left)


def _clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))
