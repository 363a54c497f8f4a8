"""Making a ramdisk of a root that lies ready, with every compression."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest
from imagewright.blankslate.marks import Marks
from imagewright.ramdisk import making
from imagewright.ramdisk.compression import METHODS
from imagewright.ramdisk.making import Recipe, RootPlace
from imagewright.testing.ramdisks import archives, unpacked

MODULE = lzma.compress(b"\0a module\0")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A kernel with one module, and firmware that a flavour lays below a folder that is a link."""
    root, given = tmp_path / "root", tmp_path / "given"
    modules = root / "usr/lib/modules/1"
    (modules / "kernel/fs").mkdir(parents=True)
    (modules / "kernel/fs/ext4.ko.xz").write_bytes(MODULE)
    (modules / "modules.dep").write_text("kernel/fs/ext4.ko.xz:\n")
    (modules / "modules.alias").write_text("# Aliases\nalias fs-ext4 ext4\n")
    (root / "boot").mkdir()
    (root / "boot/vmlinuz-1").write_bytes(b"kernel")
    (given / "usr/lib/firmware/card").mkdir(parents=True)
    (given / "usr/lib/firmware/card/one.xz").write_bytes(b"one")
    (given / "usr/lib/firmware/link").symlink_to("card")
    (given / "init").write_text("#!/bin/sh\n")
    return Recipe(
        roots=(RootPlace(folder="", name="host"),),
        executables=(),
        given=str(given),
        given_by={},
        modules=(),
        kernel_root=RootPlace(folder=str(root), name="tree"),
        kernel_version="1",
        kernel_image="",
        compress="zstd",
        moment=1,
        ramdisk=str(tmp_path / "made"),
        kernel_file=str(tmp_path / "kernel"),
        marks=Marks().document(),
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_compression_gives_the_same_files(recipe: Recipe, tmp_path: Path, method: str) -> None:
    report = making.make(recipe={**recipe.document(), "compress": method})
    data = Path(recipe.ramdisk).read_bytes()
    nodes = {node.path: node for node in unpacked(data)}
    assert report["files"] == len(nodes)
    assert nodes["usr/lib/modules/1/kernel/fs/ext4.ko.xz"].content == MODULE
    assert nodes["usr/lib/modules/1/modules.alias"].content == b"alias fs-ext4 ext4\n"
    assert nodes["usr/lib/firmware/link"].target == "card"
    assert Path(recipe.kernel_file).read_bytes() == b"kernel"
    # another program unpacks them into one tree
    folder = tmp_path / "unpacked"
    folder.mkdir()
    found = list(archives(data))
    assert report["bytes"] == sum(len(one) + -len(one) % 512 for one in found)
    for one in found:
        skipped = ["busybox", "cpio", "-idmu", "--quiet"]
        subprocess.run(skipped, input=one + bytes(-len(one) % 512), cwd=folder, capture_output=True, check=False)
    assert (folder / "usr/lib/modules/1/kernel/fs/ext4.ko.xz").read_bytes() == MODULE
    assert (folder / "usr/lib/firmware/link/one.xz").read_bytes() == b"one"
    assert (folder / "init").read_text() == "#!/bin/sh\n"
