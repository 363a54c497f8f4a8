"""Small machines as trees, and the tools of others that make images of them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.reading.images import Image, open_image, readable
from imagewright.reading.systems import System, find_system

OLD, NEW = "6.1.0-9-amd64", "6.1.0-18-amd64"
UUID = "12345678-1234-4321-8765-123456789abc"
MIB = 2**20

GRUB = """
set timeout=5
menuentry 'Linux' {
	search --no-floppy --fs-uuid --set=root X
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=/dev/vda1 ro  console=tty0 console=ttyS0,115200
	initrd	/boot/initrd.img-6.1.0-18-amd64
}
menuentry 'Recovery' {
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=/dev/vda1 ro single
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A root tree, with the bytes of its kernels and ramdisks by version."""

    folder: Path
    kernels: Mapping[str, bytes]
    ramdisks: Mapping[str, bytes]


def noise(seed: int, size: int) -> bytes:
    """Bytes that hardly compress, with stretches that do."""
    source = random.Random(seed)
    parts = [source.randbytes(50_000) if number % 3 else bytes([number % 251]) * 30_000 for number in range(40)]
    return b"".join(parts)[:size]


def sh(*argv: object, **options: object) -> str:
    """What a tool prints; it must end well."""
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "MKE2FS_SKIP_PROGRESS": "1"}
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, env=environment, **options)
    assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
    return done.stdout


def needed(tool: str) -> None:
    """Skip where the host lacks a tool that makes the images."""
    if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"{tool} is not on this host")


def empty(path: Path, size: int) -> Path:
    """A sparse file."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def make_machine(folder: Path, *, boot: str = "boot") -> Machine:
    """Two kernels; the newer one is the one that an order by text gets wrong."""
    (folder / boot / "grub").mkdir(parents=True)
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "usr/lib/modules").mkdir(parents=True)
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    (folder / "usr/lib/os-release").write_text("ID=debian\n")
    (folder / "etc/fstab").write_text(f"# a comment\nUUID={UUID} / ext4 defaults 0 1\n")
    kernels, ramdisks = {}, {}
    for number, version in enumerate((OLD, NEW)):
        kernels[version] = noise(number, 700_001)
        ramdisks[version] = noise(number + 10, 1_234_567)
        (folder / boot / f"vmlinuz-{version}").write_bytes(kernels[version])
        (folder / boot / f"initrd.img-{version}").write_bytes(ramdisks[version])
        (folder / boot / f"config-{version}").write_text("CONFIG_X=y\n")
    (folder / boot / "grub/grub.cfg").write_text(GRUB)
    (folder / "vmlinuz").symlink_to(f"boot/vmlinuz-{NEW}")
    return Machine(folder=folder, kernels=kernels, ramdisks=ramdisks)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return make_machine(tmp_path_factory.mktemp("machine") / "root")


def ext4(path: Path, machine: Machine, *options: str, size: int = 48 * MIB, kind: str = "ext4") -> Path:
    """An image of one filesystem, by mke2fs."""
    empty(path, size)
    sh("mke2fs", "-q", "-F", "-t", kind, "-U", UUID, "-L", "cloud", *options, "-d", machine.folder, path)
    return path


def protofile(folder: Path) -> str:
    """A tree as mkfs.xfs -p reads it."""

    def walk(place: Path) -> list[str]:
        lines = []
        for entry in sorted(place.iterdir()):
            if entry.is_symlink():
                lines.append(f"{entry.name} l--777 0 0 {os.readlink(entry)}")
            elif entry.is_dir():
                lines += [f"{entry.name} d--755 0 0", *walk(entry), "$"]
            else:
                lines.append(f"{entry.name} ---644 0 0 {entry}")
        return lines

    return "\n".join(["/dev/null", "0 0", "d--755 0 0", *walk(folder), "$", ""])


def xfs(path: Path, machine: Machine, *options: str, size: int = 320 * MIB) -> Path:
    """An image of one filesystem, by mkfs.xfs."""
    needed("mkfs.xfs")
    empty(path, size)
    proto = path.with_suffix(".proto")
    proto.write_text(protofile(machine.folder))
    sh("mkfs.xfs", "-q", "-f", "-L", "cloud", "-p", proto, *options, path)
    return path


def btrfs(path: Path, machine: Machine, *options: str, size: int = 160 * MIB) -> Path:
    """An image of one filesystem, by mkfs.btrfs."""
    needed("mkfs.btrfs")
    empty(path, size)
    sh("mkfs.btrfs", "-q", "-f", "-U", UUID, "-L", "cloud", "--rootdir", machine.folder, *options, path)
    return path


def joined(path: Path, label: str, *parts: Path | None, sizes: int = 200) -> Path:
    """A disk with a partition table by sfdisk, its partitions 1, 2, … filled with the parts; each of ``sizes`` MiB."""
    empty(path, (len(parts) * sizes + 8) * MIB)
    script = [f"label: {label}", *(f"start={1 + number * sizes}MiB, size={sizes}MiB" for number in range(len(parts)))]
    sh("sfdisk", "--quiet", path, input="\n".join(script) + "\n")
    for number, part in enumerate(parts):
        if part is not None:
            put(path, (1 + number * sizes) * MIB, part)
    return path


def put(disk: Path, offset: int, part: Path) -> None:
    """Write a file into a disk, holes left out."""
    sh("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={offset // MIB}", "conv=notrunc,sparse", "status=none")


def taken(path: Path, version: str = "") -> tuple[str, bytes, bytes]:
    """Version, kernel and ramdisk as the library finds them."""
    with open_image(path) as image, readable(path):
        kernel = find_system(image).choose(version)
        assert kernel.ramdisk is not None
        return kernel.version, b"".join(kernel.kernel.chunks()), b"".join(kernel.ramdisk.chunks())


def same(path: Path, machine: Machine) -> None:
    """The image gives the newest kernel of the machine, and the old one by its version, to the byte."""
    assert taken(path) == (NEW, machine.kernels[NEW], machine.ramdisks[NEW])
    assert taken(path, OLD) == (OLD, machine.kernels[OLD], machine.ramdisks[OLD])


def looked_at(path: Path, look: Callable[[Image, System], object]) -> object:
    """What ``look`` returns of an open image."""
    with open_image(path) as image:
        return look(image, find_system(image))


@pytest.fixture
def put_many() -> Callable[[Path], None]:
    """A function that lays a long folder, a short one, and links of every kind below a root."""

    def put(root: Path) -> None:
        (root / "many").mkdir()
        (root / "few").mkdir()
        (root / "links").mkdir()
        for number in range(3000):
            (root / f"many/entry-number-{number}-with-a-name-of-some-length").write_text(f"{number}")
        for name in ("a", "bb", "ccc"):
            (root / "few" / name).write_text(name)
        last = "many/entry-number-2999-with-a-name-of-some-length"
        (root / "links/short").symlink_to(f"../{last}")
        (root / "links/absolute").symlink_to(f"/{last}")
        (root / "links/long").symlink_to("../few/" * 120 + "../" + last)
        (root / "links/up").symlink_to("../../../" + last)
        (root / "links/chain").symlink_to("long")
        (root / "links/loop").symlink_to("loop")
        (root / "links/nowhere").symlink_to("nothing")

    return put
