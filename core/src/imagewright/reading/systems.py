"""Finds the operating system in an image: its root tree, where its kernels are, and which ramdisk goes with which."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from imagewright.reading.errors import Damaged, ImageUnreadable, damaged
from imagewright.reading.images import Image, Volume
from imagewright.reading.trees import Kind, Node, Tree
from imagewright.reading.versions import order

_KERNEL = ("vmlinuz", "vmlinux", "kernel", "bzImage")
_NO_KERNEL = (".sig", ".hmac", ".sym", ".dpkg-tmp", ".dpkg-new", ".dpkg-bak", ".gz.sig", ".img", ".xz", ".efi")
_RAMDISKS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initramfs-{}", "initramfs.img-{}")
_PLAIN_RAMDISKS = ("initrd.img", "initramfs.img", "initrd", "initramfs")
_MODULES = ("/usr/lib/modules", "/lib/modules")
_BOOT_LOADER_PARTITION = "bc13c2ff-59e6-4262-a352-b275fd6f7172"


class Found(NamedTuple):
    """A file in the image: its path in its tree."""

    tree: Tree
    path: str
    node: Node

    @property
    def size(self) -> int:
        """In bytes."""
        return self.node.size

    def chunks(self) -> Iterator[bytes]:
        """Its bytes. Raises Damaged."""
        return self.tree.chunks(self.node)


class Kernel(NamedTuple):
    """A kernel with the ramdisk made for it, if there is one."""

    version: str
    kernel: Found
    ramdisk: Found | None


class System(NamedTuple):
    """An operating system. ``kernels`` is never empty, the newest comes first.

    ``root`` is None where only a boot partition can be read. ``boot`` holds the folders with boot loader files, as
    (tree, path).
    """

    kernels: tuple[Kernel, ...]
    root: Tree | None
    root_volume: Volume | None
    boot: tuple[tuple[Tree, str], ...]
    notes: tuple[str, ...] = ()

    def choose(self, version: str = "") -> Kernel:
        """The kernel of that version, else the newest that has a ramdisk. Raises ImageUnreadable."""
        have = ", ".join(kernel.version for kernel in self.kernels)
        if version:
            for kernel in self.kernels:
                if kernel.version == version:
                    if kernel.ramdisk is None:
                        raise ImageUnreadable(
                            "no-ramdisk",
                            f"the image holds no ramdisk for the kernel {version}",
                            where=(kernel.kernel.path,),
                        )
                    return kernel
            raise ImageUnreadable(
                "no-such-kernel",
                f"the image holds no kernel {version}",
                where=(f"kernels: {have}",),
                hint="name one of these",
                option="kernel",
            )
        for kernel in self.kernels:
            if kernel.ramdisk is not None:
                return kernel
        raise ImageUnreadable(
            "no-ramdisk", "the image holds no ramdisk for any of its kernels", where=(f"kernels: {have}",)
        )


class _Search:
    def __init__(self, image: Image) -> None:
        self.image = image
        self.problems: list[str] = []

    def trees(self) -> Iterator[tuple[Volume, Tree]]:
        for volume in self.image.volumes:
            for tree in volume.trees:
                yield volume, tree

    def tried(self, volume: Volume, tree: Tree, look: Callable[[], Iterable[Kernel]]) -> list[Kernel]:
        """What a look finds; damage of one filesystem does not hide another."""
        try:
            with damaged(f"the {tree.type} filesystem"):
                return list(look())
        except Damaged as error:
            self.note(volume, tree, error)
            return []

    def note(self, volume: Volume, tree: Tree, error: Damaged) -> None:
        problem = f"{volume.name} ({tree.type}): {error}"
        if problem not in self.problems:
            self.problems.append(problem)


def find_system(image: Image) -> System:
    """The operating system in an image. Raises ImageUnreadable if no kernel is found."""
    search = _Search(image)
    roots = [(volume, tree) for volume, tree in search.trees() if _is_root(search, volume, tree)]
    for volume, tree in roots:
        boot = _boot_places(search, volume, tree)
        kernels = _kernels(search, volume, tree, boot)
        if kernels:
            return _system(kernels, tree, volume, boot)
    root, root_volume = (roots[0][1], roots[0][0]) if len(roots) == 1 else (None, None)
    for volume, tree in search.trees():
        places = [(tree, "/"), (tree, "/boot")]
        kernels = _kernels(search, volume, None, places)
        if kernels:
            return _system(kernels, root, root_volume, places)
    raise _nothing(search)


def _system(
    kernels: tuple[Kernel, ...], root: Tree | None, volume: Volume | None, boot: list[tuple[Tree, str]]
) -> System:
    trees = [tree for tree, _ in boot] + ([root] if root else [])
    notes = dict.fromkeys(note for tree in trees for note in tree.notes)
    return System(kernels=kernels, root=root, root_volume=volume, boot=tuple(boot), notes=tuple(notes))


def _nothing(search: _Search) -> ImageUnreadable:
    where = list(search.problems)
    for volume in search.image.volumes:
        if volume.problem:
            where.append(f"{volume.name}: {volume.problem}")
        elif volume.trees and not any(problem.startswith(f"{volume.name} (") for problem in where):
            where.append(f"{volume.name}: {volume.trees[0].type}, without a kernel")
    path = search.image.path
    if search.problems or any(volume.damaged for volume in search.image.volumes):
        return ImageUnreadable("image-damaged", f"no kernel can be read from the image {path}", where=tuple(where))
    if where and all("is not read" in line or "encrypted" in line or "LVM" in line or "RAID" in line for line in where):
        return ImageUnreadable(
            "image-not-supported", f"no filesystem of the image {path} can be read", where=tuple(where)
        )
    return ImageUnreadable(
        "no-kernel",
        f"the image {path} holds no kernel",
        where=tuple(where),
        cause="it was built without one (`/boot/vmlinuz-VERSION`), or it is no machine image",
    )


def _is_root(search: _Search, volume: Volume, tree: Tree) -> bool:
    try:
        with damaged(f"the {tree.type} filesystem"):
            return any(tree.find(path) is not None for path in ("/etc/os-release", "/usr/lib/os-release", "/etc/fstab"))
    except Damaged as error:
        search.note(volume, tree, error)
        return False


def _boot_places(search: _Search, root_volume: Volume, root: Tree) -> list[tuple[Tree, str]]:
    """Folders that may hold kernels: what fstab mounts on /boot, /boot itself, else a partition of kernels."""
    try:
        with damaged(f"the {root.type} filesystem"):
            table = root.text("/etc/fstab") or ""
    except Damaged as error:
        search.note(root_volume, root, error)
        table = ""
    places: list[tuple[Tree, str]] = []
    device, options = mounted(table, "/boot")
    for volume, tree in search.trees():
        if tree is not root and device and names_volume(device, volume, tree) and same_subvolume(options, tree):
            places.append((tree, "/"))
            break
    places.append((root, "/boot"))
    if len(places) == 1:
        others = [(volume, tree) for volume, tree in search.trees() if volume is not root_volume]
        others.sort(key=lambda one: one[0].partition is None or one[0].partition.type != _BOOT_LOADER_PARTITION)
        places += [(tree, "/") for _, tree in others]
    return places


def mounted(table: str, folder: str) -> tuple[str, str]:
    """Device and options by which an fstab mounts something on ``folder``; empty if it does not."""
    for line in table.splitlines():
        words = line.split()
        if len(words) >= 3 and not words[0].startswith("#") and words[1].rstrip("/") == folder.rstrip("/"):
            return words[0], words[3] if len(words) > 3 else ""
    return "", ""


def names_volume(device: str, volume: Volume, tree: Tree) -> bool:
    """Whether an fstab's device is that filesystem."""
    kind, _, value = device.partition("=")
    value = value.strip('"')
    for prefix, spelled in (("uuid", "UUID"), ("label", "LABEL"), ("partuuid", "PARTUUID"), ("partlabel", "PARTLABEL")):
        if device.startswith(f"/dev/disk/by-{prefix}/"):
            kind, value = spelled, device.rpartition("/")[2]
    partition = volume.partition
    match kind:
        case "UUID":
            return bool(tree.uuid) and value.lower() == tree.uuid
        case "LABEL":
            return bool(tree.label) and value == tree.label
        case "PARTUUID":
            return partition is not None and value.lower() == partition.uuid
        case "PARTLABEL":
            return partition is not None and value == partition.name
    number = re.fullmatch(r"/dev/(?:[hsv]d[a-z]|xvd[a-z]|nvme\d+n\d+p|mmcblk\d+p)(\d+)", device)
    return number is not None and partition is not None and int(number[1]) == partition.number


def same_subvolume(options: str, tree: Tree) -> bool:
    """Whether the options of an fstab's line mount that subvolume."""
    for option in options.split(","):
        if option.startswith("subvol="):
            return option.removeprefix("subvol=").strip("/") == tree.subvolume.strip("/")
    return not tree.subvolume


def _kernels(search: _Search, volume: Volume, root: Tree | None, places: list[tuple[Tree, str]]) -> tuple[Kernel, ...]:
    found: dict[str, Kernel] = {}
    volumes = {id(tree): own for own, tree in search.trees()}
    for tree, folder in places:
        for kernel in search.tried(volumes[id(tree)], tree, lambda tree=tree, folder=folder: in_folder(tree, folder)):  # type: ignore[misc]
            found.setdefault(kernel.version, kernel)
        if found:
            break
    if root is not None:
        for kernel in search.tried(volume, root, lambda: in_modules(root, places)):
            known = found.get(kernel.version)
            if known is None or (known.ramdisk is None and kernel.ramdisk is not None):
                found[kernel.version] = kernel
    return tuple(sorted(found.values(), key=lambda kernel: order(kernel.version), reverse=True))


def in_folder(tree: Tree, folder: str) -> list[Kernel]:
    """The kernels in a folder such as ``/boot``; one without a version only if there is no other. Raises Damaged."""
    names = tree.names(folder)
    found: list[Kernel] = []
    plain: list[Kernel] = []
    for name in names:
        kind, dash, version = name.partition("-")
        if kind not in _KERNEL or (dash and not version) or name.endswith(_NO_KERNEL) or not name.isprintable():
            continue
        file = _file(tree, folder, name)
        if file is None:
            continue
        if version:
            ramdisk = _first(tree, folder, [pattern.format(version) for pattern in _RAMDISKS])
            found.append(Kernel(version=version, kernel=file, ramdisk=ramdisk))
        else:
            ramdisk = _first(tree, folder, _PLAIN_RAMDISKS)
            plain.append(Kernel(version=_stated(file) or name, kernel=file, ramdisk=ramdisk))
    return found or plain[:1]


def in_modules(root: Tree, places: Iterable[tuple[Tree, str]]) -> list[Kernel]:
    """The kernels that lie beside their modules, with ramdisks there or in the folders for booting. Raises Damaged."""
    found: list[Kernel] = []
    for modules in _MODULES:
        for version in root.names(modules):
            folder = f"{modules}/{version}"
            file = _file(root, folder, "vmlinuz") if version.isprintable() else None
            if file is None:
                continue
            ramdisk = _first(root, folder, ("initrd", "initramfs.img", "initrd.img"))
            for tree, place in places:
                ramdisk = ramdisk or _first(tree, place, [pattern.format(version) for pattern in _RAMDISKS])
            found.append(Kernel(version=version, kernel=file, ramdisk=ramdisk))
        if found:
            break
    return found


def _first(tree: Tree, folder: str, names: Iterable[str]) -> Found | None:
    present = set(tree.names(folder))
    for name in names:
        file = _file(tree, folder, name) if name in present else None
        if file is not None:
            return file
    return None


def _file(tree: Tree, folder: str, name: str) -> Found | None:
    path = f"{folder.rstrip('/')}/{name}"
    node = tree.find(path)
    if node is None or node.kind is not Kind.FILE or not node.size:
        return None
    return Found(tree=tree, path=path, node=node)


def _stated(file: Found) -> str:
    """The version that the setup header of an x86 kernel states (``Documentation/arch/x86/boot.rst``); may be empty."""
    head = bytearray()
    for chunk in file.chunks():
        head += chunk
        if len(head) >= 65536:
            break
    if head[0x202:0x206] != b"HdrS" or len(head) < 65536:
        return ""
    at = struct.unpack_from("<H", head, 0x20E)[0] + 0x200
    words = bytes(head[at : at + 128]).partition(b"\0")[0].decode("ascii", "replace").split()
    return words[0] if words and words[0].isprintable() else ""
