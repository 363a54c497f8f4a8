"""Finds the root tree of an image, kernel or not, with what its fstab mounts on folders of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imagewright.reading.errors import Damaged
from imagewright.reading.images import Image, Volume
from imagewright.reading.systems import mounted, names_volume, same_subvolume
from imagewright.reading.trees import Tree

_SIGNS = ("/etc/os-release", "/usr/lib/os-release", "/etc/fstab", "/etc/passwd")
_OWN = ("/boot", "/home", "/opt", "/srv", "/usr", "/var", "/var/log", "/boot/efi")
"""Folders that images keep on filesystems of their own, an inner one behind the one that holds it."""


class Root(NamedTuple):
    """The root tree, and the trees mounted in it by folder (``/boot``). ``unread`` says what could not be read."""

    tree: Tree
    volume: Volume
    mounts: tuple[tuple[str, Tree], ...] = ()
    unread: tuple[str, ...] = ()


def find_root(image: Image) -> Root:
    """The root tree of an image, as its parts are mounted in a running machine.

    Raises Damaged if no filesystem in it is a root, or none can be read; the text says what each part is.
    """
    trees = [(volume, tree) for volume in image.volumes for tree in volume.trees]
    for volume, tree in trees:
        if tree.owners and sum(tree.find(path) is not None for path in _SIGNS) >= 2:
            return _with_mounts(trees, image, volume, tree)
    parts = [
        f"{volume.name}: {volume.problem or (volume.trees[0].type + ', no root tree' if volume.trees else 'nothing')}"
        for volume in image.volumes
    ]
    raise Damaged(f"no root tree is in it ({'; '.join(parts) or 'it holds no filesystem'})")


def _with_mounts(trees: list[tuple[Volume, Tree]], image: Image, volume: Volume, root: Tree) -> Root:
    table = root.text("/etc/fstab") or ""
    mounts: list[tuple[str, Tree]] = []
    unread: list[str] = []
    for folder in _OWN:
        device, options = mounted(table, folder)
        if not device:
            continue
        found = next(_matching(trees, root, device, options), None)
        if found is not None:
            mounts.append((folder, found))
        elif len(image.volumes) > 1:
            unread.append(f"{folder} lies on a filesystem of its own ({device}), which is not read")
    return Root(tree=root, volume=volume, mounts=tuple(mounts), unread=tuple(unread))


def _matching(trees: list[tuple[Volume, Tree]], root: Tree, device: str, options: str) -> Iterator[Tree]:
    for volume, tree in trees:
        if tree is not root and tree.owners and names_volume(device, volume, tree) and same_subvolume(options, tree):
            yield tree
