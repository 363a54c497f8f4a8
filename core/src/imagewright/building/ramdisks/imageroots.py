"""An image as a root that a ramdisk takes its kernel from: read by the readers of images, never mounted."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagewright.errors import UsageError
from imagewright.ramdisk.roots import Root, Status
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import open_image, readable
from imagewright.reading.systems import find_system
from imagewright.reading.trees import Kind, Tree

_MODES = {Kind.FILE: stat.S_IFREG | 0o644, Kind.FOLDER: stat.S_IFDIR | 0o755, Kind.LINK: stat.S_IFLNK | 0o777}
_KERNEL = "/kernel-of-the-image"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageKernel:
    """The kernel of an image: the root with its modules, its version, and the path of its file in that root."""

    root: Root
    version: str
    image: str


class _ImageRoot(Root):
    """A tree of an image; the kernel, which may lie on another partition, is seen at a path of its own."""

    def __init__(self, tree: Tree, name: str, kernel: Iterable[bytes]) -> None:
        super().__init__("", name)
        self._tree = tree
        self._kernel = b"".join(kernel)

    def look(self, path: str) -> Status | None:
        """What is at a path."""
        if path == _KERNEL.lstrip("/"):
            return Status(mode=stat.S_IFREG | 0o644, size=len(self._kernel))
        node = self._tree.find(path, follow=False)
        if node is None or node.kind is Kind.OTHER:
            return None
        target = self._tree.target(node) if node.kind is Kind.LINK else ""
        return Status(mode=_MODES[node.kind], size=node.size, target=target)

    def listed(self, path: str) -> Iterable[str]:
        """The names in a folder."""
        return self._tree.names(path)

    def content(self, path: str) -> bytes:
        """The content of a file."""
        if path == _KERNEL.lstrip("/"):
            return self._kernel
        node = self._tree.find(path, follow=False)
        return b"".join(self._tree.chunks(node)) if node is not None else b""

    def source(self, path: str) -> str:
        """Nowhere: the content is asked for."""
        return ""


@contextmanager
def image_kernel(path: Path, version: str) -> Iterator[ImageKernel]:
    """Open an image for its kernel; the newest if no version is named. Raises ImageUnreadable and UsageError."""
    try:
        with open_image(path) as image, readable(path):
            system = find_system(image)
            kernel = next((one for one in system.kernels if version in ("", one.version)), None)
            if kernel is None or system.root is None:
                have = ", ".join(one.version for one in system.kernels)
                raise ImageUnreadable(
                    "no-such-kernel" if kernel is None else "no-root-tree",
                    f"the image {path} holds no kernel {version}"
                    if kernel is None
                    else f"the image {path} has a kernel, and no root filesystem that can be read for its modules",
                    where=(f"kernels: {have}",),
                    hint="name one of these" if kernel is None else "",
                )
            root = _ImageRoot(system.root, path.name, kernel.kernel.chunks())
            yield ImageKernel(root=root, version=kernel.version, image=_KERNEL)
    except OSError as error:
        raise UsageError(
            "image-unreadable", f"the image {path} cannot be opened", cause=error.strerror or str(error)
        ) from error
