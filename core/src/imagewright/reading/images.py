"""Opens an image: its format, its partitions, and the trees of files in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from imagewright.reading import qcow2, tables
from imagewright.reading.blocks import Blocks, FileBlocks, Window
from imagewright.reading.errors import Damaged, ImageUnreadable, Unsupported, damaged
from imagewright.reading.trees import Tree

_BACKING_FILES = 64

_FILES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"KDMV", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK image"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a VHD image"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image"),
    (0, b"\x1f\x8b", "compressed by gzip"),
    (0, b"\xfd7zXZ\0", "compressed by xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (0, b"BZh", "compressed by bzip2"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (32769, b"CD001", "an ISO image"),
)
_VOLUMES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"LUKS\xba\xbe", "it is encrypted (LUKS)"),
    (512, b"LABELONE", "it belongs to LVM"),
    (4096, b"\xfc\x4e\x2b\xa9", "it belongs to a RAID"),
    (0, b"hsqs", "squashfs is not read"),
    (1024, b"\xe2\xe1\xf5\xe0", "EROFS is not read"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS is not read"),
    (3, b"NTFS", "NTFS is not read"),
    (4086, b"SWAPSPACE2", "it is swap space"),
)


class Volume(NamedTuple):
    """A partition, or the whole image (``partition`` is None), with its trees.

    Without trees, ``problem`` says why: a sentence without a final period; empty if there is nothing at all.
    """

    partition: tables.Partition | None
    trees: tuple[Tree, ...] = ()
    problem: str = ""
    damaged: bool = False

    @property
    def name(self) -> str:
        """``partition 3`` or ``the image``."""
        return f"partition {self.partition.number}" if self.partition else "the image"


class Image(NamedTuple):
    """An open image. ``files`` are all files that it consists of; ``size`` is that of the disk in it, in bytes.

    ``blocks`` are the bytes of that disk; of an archive they are those of the file.
    """

    path: Path
    format: str
    table: str
    size: int
    files: tuple[Path, ...]
    volumes: tuple[Volume, ...]
    blocks: Blocks


@contextmanager
def open_image(path: Path) -> Iterator[Image]:
    """Open an image for reading; it is never changed. Raises ImageUnreadable.

    Trees raise Damaged when they are read; :func:`readable` makes ImageUnreadable of it.
    """
    with ExitStack() as stack:
        files: list[Path] = []
        with readable(path), damaged("the image"):
            blocks, kind = _disk(path, "", stack, files, set())
            if isinstance(blocks, FileBlocks) and _is_tar(blocks):
                from imagewright.reading import tars

                tree = tars.TarTree(blocks)
                image = Image(
                    path=path,
                    format="tar",
                    table="",
                    size=blocks.size,
                    files=tuple(files),
                    volumes=(Volume(partition=None, trees=(tree,)),),
                    blocks=blocks,
                )
            else:
                table, volumes = volumes_of(blocks)
                image = Image(
                    path=path,
                    format=kind,
                    table=table,
                    size=blocks.size,
                    files=tuple(files),
                    volumes=volumes,
                    blocks=blocks,
                )
        yield image


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Damage inside becomes one clear error that names the image: raises ImageUnreadable."""
    try:
        with damaged("the image"):
            yield
    except Unsupported as error:
        raise ImageUnreadable(
            "image-not-supported", f"the image {path} cannot be read: {error}", hint=_hint(str(error), path)
        ) from error
    except Damaged as error:
        reason = str(error).removeprefix("the image: ")
        raise ImageUnreadable("image-damaged", f"the image {path} cannot be read: {reason}") from error


def _hint(problem: str, path: Path) -> str:
    if " image, " in problem and "ISO" not in problem:
        return f"convert it first: `qemu-img convert -O qcow2 {path} {path.stem}.qcow2`"
    return "unpack it first" if problem.startswith("it is compressed") else ""


def _disk(
    path: Path, stated: str, stack: ExitStack, files: list[Path], seen: set[tuple[int, int]]
) -> tuple[Blocks, str]:
    """The disk in a file, and the format of the file; ``stated`` is the format that an overlay says it has."""
    try:
        file = FileBlocks(path)
    except OSError as error:
        if not files:
            raise
        raise Damaged(f"its backing file {path} cannot be opened ({error.strerror})") from error
    stack.callback(file.close)
    if file.identity in seen:
        raise Damaged(f"its backing files form a loop at {path}")
    if len(seen) >= _BACKING_FILES:
        raise Damaged(f"it has more than {_BACKING_FILES} backing files")
    seen.add(file.identity)
    files.append(path)
    if stated not in ("", "raw", "qcow2"):
        raise Unsupported(f"its backing file {path} is of type {stated!r}, which is not read")
    if stated == "raw":
        return file, "raw"
    if file.read_some(0, 4) == qcow2.MAGIC:

        def backing(name: str, kind: str) -> Blocks:
            return _disk(qcow2.backing_path(path, name), kind, stack, files, seen)[0]

        return qcow2.Qcow2Blocks(file, backing), "qcow2"
    if stated:
        raise Damaged(f"{path} is no qcow2 image")
    for at, magic, what in _FILES:
        if file.read_some(at, len(magic)) == magic:
            raise Unsupported(f"it is {what}, which is not read")
    if not file.size:
        raise Damaged("it is empty")
    return file, "raw"


def volumes_of(blocks: Blocks) -> tuple[str, tuple[Volume, ...]]:
    """The kind of partition table (``gpt``, ``mbr`` or empty), and the partitions. Raises Damaged and Unsupported."""
    partitions = tables.gpt(blocks)
    if partitions is not None:
        return "gpt", tuple(_volume(blocks, partition) for partition in partitions)
    if _reader(blocks):
        return "", (_volume(blocks, None),)
    partitions = tables.mbr(blocks)
    if partitions is not None and _problem(blocks) == "":
        return "mbr", tuple(_volume(blocks, partition) for partition in partitions)
    problem = _problem(blocks)
    if problem:
        return "", (Volume(partition=None, problem=problem),)
    raise Unsupported("it holds neither a partition table nor a filesystem that is known")


def _reader(blocks: Blocks) -> Callable[[Blocks], tuple[Tree, ...]] | None:
    # A reader is imported for its filesystem only: what the others import costs more than reading the kernel.
    if _at(blocks, 1024 + 56, b"\x53\xef"):
        from imagewright.reading import ext4

        return lambda found: (ext4.Ext4Tree(found),)
    if _at(blocks, 0, b"XFSB"):
        from imagewright.reading import xfs

        return lambda found: (xfs.XfsTree(found),)
    if _at(blocks, 0x10000 + 64, b"_BHRfS_M"):
        from imagewright.reading import btrfs

        return lambda found: tuple(btrfs.trees(found))
    # Both words may be missing, but every maker of filesystems writes them.
    if _at(blocks, 510, b"\x55\xaa") and (_at(blocks, 54, b"FAT1") or _at(blocks, 82, b"FAT32")):
        from imagewright.reading import vfat

        return lambda found: (vfat.VfatTree(found),)
    return None


def _is_tar(blocks: Blocks) -> bool:
    return _at(blocks, 257, b"ustar")


def _at(blocks: Blocks, offset: int, magic: bytes) -> bool:
    return blocks.size >= offset + len(magic) and blocks.read(offset, len(magic)) == magic


def _volume(disk: Blocks, partition: tables.Partition | None) -> Volume:
    blocks = Window(disk, partition.offset, partition.size) if partition else disk
    try:
        with damaged("the filesystem"):
            reader = _reader(blocks)
            if reader:
                return Volume(partition=partition, trees=reader(blocks))
            return Volume(partition=partition, problem=_problem(blocks))
    except Damaged as error:
        return Volume(partition=partition, problem=str(error), damaged=True)


def _problem(blocks: Blocks) -> str:
    for at, magic, what in _VOLUMES:
        if _at(blocks, at, magic):
            return what
    return ""
