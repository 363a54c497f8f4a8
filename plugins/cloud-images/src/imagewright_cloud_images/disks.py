"""Members of the root tree in a disk image, by the project's own readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imagewright.reading.errors import Damaged
from imagewright.reading.roots import Root
from imagewright.reading.trees import Kind, Node, Tree

from imagewright_cloud_images.members import Kind as MemberKind
from imagewright_cloud_images.members import Member
from imagewright_cloud_images.tars import clean

DEEPEST = 200

_KINDS: Mapping[Kind, MemberKind] = {
    Kind.FILE: "file",
    Kind.FOLDER: "folder",
    Kind.LINK: "link",
    Kind.OTHER: "device",
}


def members(root: Root) -> Iterator[Member]:
    """Everything in the root tree and in what is mounted in it. Raises Damaged."""
    mounts = {folder.strip("/"): tree for folder, tree in root.mounts}
    yield from _Walk(root.tree, "", frozenset(mounts)).members()
    for folder, tree in mounts.items():
        inner = frozenset(other for other in mounts if other.startswith(f"{folder}/"))
        yield from _Walk(tree, folder, inner).members()


class _Walk:
    """One filesystem at its place; ``mounts`` are folders whose content comes from another."""

    def __init__(self, tree: Tree, place: str, mounts: frozenset[str]) -> None:
        self._tree = tree
        self._place = place
        self._mounts = mounts
        self._first: dict[Any, str] = {}

    def members(self) -> Iterator[Member]:
        node = self._tree.node(self._tree.root())
        yield self._member(self._place, node)
        yield from self._below(self._place, node, 0)

    def _below(self, path: str, folder: Node, depth: int) -> Iterator[Member]:
        if depth > DEEPEST:
            raise Damaged("its folders are too deep, or form a loop")
        for name, reference in sorted(self._tree.entries(folder).items()):
            if "/" in name or name in ("", ".", ".."):
                raise Damaged(f"a folder in it has an impossible name: {name!r}")
            if depth == 0 and name == "lost+found":
                continue
            inner = clean(f"{path}/{name}")
            node = self._tree.node(reference)
            yield self._member(inner, node)
            if node.kind is Kind.FOLDER and inner not in self._mounts:
                yield from self._below(inner, node, depth + 1)

    def _member(self, path: str, node: Node) -> Member:
        status = self._tree.status(node)
        if node.kind is not Kind.FOLDER and status.links > 1:
            first = self._first.setdefault(node.reference, path)
            if first != path:
                return Member(path=path, kind="same", target=first)
        return Member(
            path=path,
            kind=_KINDS[node.kind],
            mode=status.mode,
            uid=status.uid,
            gid=status.gid,
            time=status.time,
            size=node.size if node.kind is Kind.FILE else 0,
            target=self._tree.target(node) if node.kind is Kind.LINK else "",
            attributes=self._tree.attributes(node),
            content=(lambda: self._tree.chunks(node)) if node.kind is Kind.FILE else None,
        )
