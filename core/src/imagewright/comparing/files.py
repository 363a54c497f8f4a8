"""Every file of an image by its path, with what can be compared of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from imagewright.reading.errors import Damaged, Unsupported
from imagewright.reading.images import Image
from imagewright.reading.roots import find_root
from imagewright.reading.trees import Kind, Node, Tree

_DEEPEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file, folder or link. ``size`` is 0 for all but files; ``time`` is that of the last change, in seconds.

    ``mode``, ``uid``, ``gid`` and ``time`` are None where the filesystem has none.
    """

    kind: Kind
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    time: int | None = None
    target: str = ""
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    tree: Tree | None = field(default=None, compare=False, repr=False)
    node: Node | None = field(default=None, compare=False, repr=False)

    def digest(self) -> str:
        """The SHA-256 hex digest of its content. Raises Damaged."""
        digest = hashlib.sha256()
        if self.tree is not None and self.node is not None and self.kind is Kind.FILE:
            for chunk in self.tree.chunks(self.node):
                digest.update(chunk)
        return digest.hexdigest()


def files_of(image: Image) -> dict[str, File]:
    """All files by their paths in the running machine, ``/`` included.

    Those of a filesystem that is not mounted in it, such as the one that UEFI reads, stand behind the name of their
    partition: ``partition 2:/EFI/BOOT/BOOTX64.EFI``. Raises Damaged.
    """
    found: dict[str, File] = {}
    placed: list[Tree] = []
    try:
        root = find_root(image)
    except Unsupported:
        raise
    except Damaged:
        pass  # no machine's root, such as a disk of data: each filesystem stands for itself
    else:
        mounts = dict(root.mounts)
        for place, tree in {"": root.tree, **mounts}.items():
            inner = frozenset(other for other in mounts if other.startswith(f"{place}/") and other != place)
            found.update(_walk(tree, place, inner))
            placed.append(tree)
    for volume in image.volumes:
        for tree in volume.trees:
            if not any(tree is one for one in placed):
                name = f"{volume.name}:{tree.subvolume and '/'}{tree.subvolume.strip('/')}"
                found.update(_walk(tree, name, frozenset()))
    return found


def _walk(tree: Tree, place: str, mounts: frozenset[str]) -> Iterator[tuple[str, File]]:
    """The files of one filesystem below ``place``; those of ``mounts`` come from another."""
    waiting: list[tuple[str, Node, int]] = [(place, tree.node(tree.root()), 0)]
    while waiting:
        path, node, depth = waiting.pop()
        yield path if depth or path.startswith("/") else f"{path}/", _file(tree, node)
        if node.kind is not Kind.FOLDER or (path in mounts and depth):
            continue
        if depth > _DEEPEST:
            raise Damaged("its folders are too deep, or form a loop")
        # every mke2fs makes it, and no archive has it
        inner = sorted(item for item in tree.entries(node).items() if depth or item[0] != "lost+found")
        waiting += [(f"{path}/{name}", tree.node(reference), depth + 1) for name, reference in reversed(inner)]


def _file(tree: Tree, node: Node) -> File:
    size = node.size if node.kind is Kind.FILE else 0
    target = tree.target(node) if node.kind is Kind.LINK else ""
    if not tree.owners:
        return File(kind=node.kind, size=size, target=target, tree=tree, node=node)
    status = tree.status(node)
    return File(
        kind=node.kind,
        size=size,
        mode=None if node.kind is Kind.LINK else status.mode,
        uid=status.uid,
        gid=status.gid,
        time=status.time // 10**9,
        target=target,
        attributes=tree.attributes(node),
        tree=tree,
        node=node,
    )
