"""One real ramdisk: deploy and mellanox from Debian's packages, unpacked and tried with its own programs."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.ramdisk.elf import read_elf
from imagewright.testing.kit import ImageKit
from imagewright.testing.ramdisks import Node, archives, unpacked

pytestmark = [pytest.mark.build, pytest.mark.network, pytest.mark.timeout(1800)]

ARGUMENTS = ("--release", "trixie", "debian", "deploy", "mellanox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramdisk:
    """The ramdisk of this run: its files, what is in it, and a folder that it is unpacked in."""

    kit: ImageKit
    manifest: dict[str, object]
    nodes: dict[str, Node]
    root: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def ramdisk(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Ramdisk]:
    folder = tmp_path_factory.mktemp("ramdisk")
    cache = request.config.cache.mkdir("imagewright") / "cache"
    environment = {"IMAGEWRIGHT_CACHE_DIR": str(cache)}
    for name in ("http_proxy", "https_proxy", "IMAGEWRIGHT_MIRROR"):
        environment[name] = os.environ.get(name, "")
    with ImageKit.open(folder / "kit", shared=cache.parent) as kit:
        kit.command("ramdisk-image-create", "-o", "deploy.ramdisk", *ARGUMENTS, **environment)
        nodes = {node.path: node for node in unpacked((kit.output / "deploy.ramdisk").read_bytes())}
        root = folder / "root"
        unpack(nodes, root)
        yield Ramdisk(
            kit=kit,
            manifest=json.loads((kit.output / "deploy.manifest.json").read_text()),
            nodes=nodes,
            root=root,
            environment=environment,
        )


def unpack(nodes: dict[str, Node], root: Path) -> None:
    root.mkdir()
    for path, node in nodes.items():
        place = root / path
        if stat.S_ISDIR(node.mode):
            place.mkdir(exist_ok=True)
        elif stat.S_ISLNK(node.mode):
            place.symlink_to(node.target)
        elif stat.S_ISREG(node.mode):
            place.write_bytes(node.content)
            place.chmod(stat.S_IMODE(node.mode))


def run(ramdisk: Ramdisk, *argv: str) -> str:
    """What a program of the ramdisk prints when it runs with the ramdisk as its root."""
    command = ["unshare", "--map-root-user", "--user", "chroot", str(ramdisk.root), *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_programs_of_the_ramdisk_start_with_its_libraries_alone(ramdisk: Ramdisk) -> None:
    assert re.match(r"\d+", run(ramdisk, "/usr/sbin/tgtd", "--version"))
    assert re.match(r"\d+", run(ramdisk, "udevadm", "--version"))
    assert run(ramdisk, "/bin/sh", "-c", "echo $0") == "/bin/sh\n"
    assert run(ramdisk, "sh", "-c", "readlink -f /usr/lib/systemd/systemd-udevd").strip() == "/usr/bin/udevadm"


def test_modprobe_finds_the_modules_and_what_they_need(ramdisk: Ramdisk) -> None:
    version = str(ramdisk.manifest["kernel"]["version"])
    for name in ("mlx4_en", "mlx5_ib", "virtio_blk", "ext4", "nvme", "ahci", "e1000e"):
        shown = run(ramdisk, "modprobe", "--show-depends", "--set-version", version, name)
        for line in shown.splitlines():
            if line.startswith("insmod "):
                assert line.split()[1].lstrip("/").replace("lib/", "usr/lib/", 1) in ramdisk.nodes, line


def test_every_library_of_every_program_is_there(ramdisk: Ramdisk) -> None:
    names = {Path(path).name for path in ramdisk.nodes}
    programs = [path for path, node in ramdisk.nodes.items() if node.content[:4] == b"\x7fELF" and ".ko" not in path]
    assert len(programs) > 20
    for path in programs:
        elf = read_elf(str(ramdisk.root / path))
        assert elf is not None
        assert set(elf.needed) <= names, path


def test_the_flavours_are_in_init_in_their_order(ramdisk: Ramdisk) -> None:
    init = ramdisk.nodes["init"].content.decode()
    found = re.findall(r"^fragment (\S+) \d+$", init, re.MULTILINE)
    assert found == ["deploy", "mellanox"]
    assert "usr/lib/udev/rules.d/80-mellanox.rules" in ramdisk.nodes
    assert "usr/lib/udev/rules.d/60-persistent-storage.rules" in ramdisk.nodes


def test_the_kernel_beside_it_is_one_and_the_sums_are_right(ramdisk: Ramdisk) -> None:
    kernel = (ramdisk.kit.output / "deploy.kernel").read_bytes()
    assert kernel[0x202:0x206] == b"HdrS"
    subprocess.run(["sha256sum", "-c", "deploy.sha256"], cwd=ramdisk.kit.output, check=True, capture_output=True)


def test_a_second_one_is_made_from_the_kept_tree_and_is_the_same(ramdisk: Ramdisk) -> None:
    before = os.umask(0o077)
    try:
        done = ramdisk.kit.command("ramdisk-image-create", "-o", "again", *ARGUMENTS, **ramdisk.environment)
    finally:
        os.umask(before)
    assert "packages/20-install cached" in done.stderr
    again = ramdisk.kit.output / "again"
    assert again.read_bytes() == (ramdisk.kit.output / "deploy.ramdisk").read_bytes()
    assert stat.S_IMODE(again.stat().st_mode) == 0o600


def test_a_standard_program_lists_it(ramdisk: Ramdisk) -> None:
    found = list(archives((ramdisk.kit.output / "deploy.ramdisk").read_bytes()))
    listed = [subprocess.run(["busybox", "cpio", "-it"], input=one, capture_output=True, check=True) for one in found]
    assert [name for one in listed for name in one.stdout.decode().splitlines()] == list(ramdisk.nodes)
    # the modules are compressed by themselves
    assert len(found) == 2
