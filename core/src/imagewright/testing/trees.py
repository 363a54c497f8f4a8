"""Looking into the root tree of a built image: an archive, or a filesystem on a raw disk. Nothing is mounted."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import tarfile
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imagewright.disk.tools import find

Kind = Literal["file", "folder", "link", "other"]

SECTOR = 512
MOST_LINKS = 40

_KINDS: Mapping[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A file of the image. ``mode`` holds the permission bits with setuid, setgid and sticky."""

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""
    moment: int = 0
    attributes: Mapping[str, bytes] = field(default_factory=dict)


class TreeView(ABC):
    """The root tree of an image. Paths are relative to its root; links to folders on the way are followed."""

    @abstractmethod
    def node(self, path: str) -> Node | None:
        """What lies at ``path``, or None. No link is followed."""

    @abstractmethod
    def names(self, path: str) -> tuple[str, ...]:
        """The names in the folder ``path``, sorted. No link is followed."""

    @abstractmethod
    def content(self, path: str) -> bytes:
        """The content of the file at ``path``. No link is followed."""

    def find(self, path: str, *, follow: bool = False) -> Node | None:
        """What lies at ``path`` as the image sees it; a link at its end is followed if ``follow``."""
        left = [part for part in path.split("/") if part not in ("", ".")]
        here = ""
        for _ in range(MOST_LINKS):
            while left:
                part = left.pop(0)
                if part == "..":
                    here = here.rpartition("/")[0]
                    continue
                node = self.node(f"{here}/{part}".lstrip("/"))
                if node is None:
                    return None
                if node.kind == "link" and (left or follow):
                    if node.target.startswith("/"):
                        here = ""
                    left = [piece for piece in node.target.split("/") if piece not in ("", ".")] + left
                    break
                here = node.path
            else:
                return self.node(here)
        return None

    def get(self, path: str, *, follow: bool = False) -> Node:
        """Like :meth:`find`. Raises FileNotFoundError if there is nothing."""
        node = self.find(path, follow=follow)
        if node is None:
            raise FileNotFoundError(f"the image has no {path}")
        return node

    def read_bytes(self, path: str) -> bytes:
        """The content of a file. Raises FileNotFoundError."""
        return self.content(self.get(path, follow=True).path)

    def read(self, path: str) -> str:
        """The content of a text file. Raises FileNotFoundError."""
        return self.read_bytes(path).decode()

    def exists(self, path: str) -> bool:
        """Whether there is anything at ``path``, be it a link to nowhere."""
        return self.find(path) is not None

    def mode(self, path: str) -> int:
        """The permission bits, with setuid, setgid and sticky."""
        return self.get(path).mode

    def owner(self, path: str) -> tuple[int, int]:
        """User and group."""
        node = self.get(path)
        return node.uid, node.gid

    def link(self, path: str) -> str:
        """Where a symbolic link points."""
        return self.get(path).target

    def listing(self, path: str = "") -> tuple[str, ...]:
        """The names in a folder, sorted; none if there is no such folder."""
        node = self.find(path, follow=True)
        return self.names(node.path) if node is not None and node.kind == "folder" else ()

    def entries(self, path: str = "") -> tuple[str, ...]:
        """The paths of everything below ``path``, sorted."""
        node = self.find(path, follow=True)
        return tuple(sorted(self._walk(node.path))) if node is not None and node.kind == "folder" else ()

    def _walk(self, path: str) -> Iterator[str]:
        for name in self.names(path):
            below = f"{path}/{name}".lstrip("/")
            yield below
            node = self.node(below)
            if node is not None and node.kind == "folder":
                yield from self._walk(below)


class TarView(TreeView):
    """The tree in a tar archive."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._nodes: dict[str, Node] = {"": Node(path="", kind="folder", mode=0o755, uid=0, gid=0)}
        self._members: dict[str, tarfile.TarInfo] = {}
        self._names: dict[str, list[str]] = {"": []}
        with tarfile.open(archive) as opened:
            for member in opened:
                self._add(member)

    def node(self, path: str) -> Node | None:
        """What lies at ``path``, or None."""
        return self._nodes.get(path)

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a folder."""
        return tuple(sorted(self._names.get(path, ())))

    def content(self, path: str) -> bytes:
        """The content of a file."""
        member = self._members[path]
        # a member that is at hand spares the search through the whole archive, for a name or for a link's other end
        while member.islnk():
            member = self._members[_clean(member.linkname)]
        with tarfile.open(self._archive) as opened:
            stream = opened.extractfile(member)
            if stream is None:
                raise IsADirectoryError(f"{path} is not a file")
            return stream.read()

    def _add(self, member: tarfile.TarInfo) -> None:
        path = _clean(member.name)
        kind: Kind = "other"
        if member.isdir():
            kind = "folder"
        elif member.issym():
            kind = "link"
        elif member.isfile() or member.islnk():
            kind = "file"
        prefix = "SCHILY.xattr."
        self._members[path] = member
        self._nodes[path] = Node(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(member.mode),
            uid=member.uid,
            gid=member.gid,
            size=member.size,
            target=member.linkname if kind == "link" else "",
            moment=int(member.mtime),
            attributes={
                name.removeprefix(prefix): value.encode("utf-8", "surrogateescape")
                for name, value in member.pax_headers.items()
                if name.startswith(prefix)
            },
        )
        if path:
            parent, _, name = path.rpartition("/")
            self._names.setdefault(parent, []).append(name)


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


class DiskView(TreeView):
    """The tree in an ext4 filesystem: the whole of a raw file, or its largest partition. Read by debugfs(8)."""

    def __init__(self, disk: Path) -> None:
        self._where = f"{disk}?offset={root_offset(disk)}"

    def node(self, path: str) -> Node | None:
        """What lies at ``path``, or None."""
        parent, _, name = path.rpartition("/")
        for row in self._rows(parent):
            if row[5] == (name or "."):
                return self._node(path, row)
        return None

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a folder."""
        return tuple(sorted(row[5] for row in self._rows(path) if row[5] not in (".", "..")))

    def content(self, path: str) -> bytes:
        """The content of a file."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "content")
            self._ask(f'dump "/{path}" {copy}')
            return copy.read_bytes()

    def _rows(self, path: str) -> list[list[str]]:
        # lines of debugfs' "ls -p": /INODE/MODE/UID/GID/NAME/SIZE/
        lines = self._ask(f'ls -p "/{path}"').splitlines()
        return [fields for line in lines if len(fields := line.split("/")) == 8 and fields[5]]

    def _node(self, path: str, row: list[str]) -> Node:
        bits = int(row[2], 8)
        kind = _KINDS.get(stat.S_IFMT(bits), "other")
        details = self._ask(f'stat "/{path}"')
        target = ""
        if kind == "link":
            fast = re.search(r'Fast link dest: "(.*)"', details)
            target = fast.group(1) if fast else self._ask(f'cat "/{path}"')
        moment = re.search(r"\bmtime: 0x([0-9a-f]+)", details)
        return Node(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(bits),
            uid=int(row[3]),
            gid=int(row[4]),
            size=int(row[6] or 0),
            target=target,
            moment=int(moment.group(1), 16) if moment else 0,
        )

    def _ask(self, request: str) -> str:
        done = subprocess.run([find("debugfs"), "-R", request, self._where], capture_output=True, text=True, check=True)
        return done.stdout


def root_offset(disk: Path) -> int:
    """Where the largest partition of a raw disk begins, in bytes; 0 if it has no partition table."""
    done = subprocess.run([find("sfdisk"), "--json", str(disk)], capture_output=True, text=True, check=False)
    if done.returncode:
        return 0
    partitions = json.loads(done.stdout)["partitiontable"].get("partitions", [])
    return max(partitions, key=lambda one: int(one["size"]))["start"] * SECTOR if partitions else 0
