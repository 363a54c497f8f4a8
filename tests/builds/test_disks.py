"""Raw disks and what is made of them: clean, named as asked, laid out as flavours say, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from imagewright.errors import ImagewrightError
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit
from imagewright.testing.trees import DiskView, root_offset

from .conftest import Probed

SMALL = 64 * 2**20
TOOLS = f"{os.environ['PATH']}:/usr/sbin:/sbin"

LAYOUT = """
    from imagewright.api import MIB, Flavour, Layout, Partition, Step, hookimpl

    class Partitioned(Flavour):
        summary = "a small vfat partition and a root partition"

        @hookimpl
        def block_device(self, ctx):
            esp = Partition(
                name="esp", type="C12A7328-F81F-11D2-BA4B-00A0C93EC93B", size=40 * MIB, role="esp",
                filesystem="vfat", label="esp",
            )
            root = Partition(
                name="root", type="4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", role="root", filesystem="ext4",
            )
            return (Step(id="10-layout", action=Layout(partitions=(esp, root))),)
"""


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv], env={**os.environ, "PATH": TOOLS}, capture_output=True, text=True, check=False
    )


def filesystem_of(raw: Path, folder: Path) -> Path:
    """The root filesystem of a raw disk as a file of its own: e2fsck knows no offset without one."""
    offset = root_offset(raw)
    if not offset:
        return raw
    table = json.loads(run("sfdisk", "--json", raw).stdout)["partitiontable"]["partitions"]
    size = next(one["size"] for one in table if one["start"] * 512 == offset) * 512
    copy = folder / "root.ext4"
    with raw.open("rb") as disk, copy.open("wb") as out:
        disk.seek(offset)
        for _ in range(size // 2**20):
            block = disk.read(2**20)
            if block.strip(b"\0"):
                out.write(block)
            else:
                out.seek(len(block), os.SEEK_CUR)
        out.truncate(size)
    return copy


def assert_clean(raw: Path, folder: Path) -> None:
    done = run("e2fsck", "-fn", filesystem_of(raw, folder))
    assert done.returncode == 0, done.stdout + done.stderr
    if root_offset(raw):
        done = run("sgdisk", "-v", raw)
        assert "No problems found" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def partitioned(image_kit: ImageKit) -> ImageKit:
    image_kit.pack("partitioned-pack", LAYOUT, {"partitioned": "Partitioned"})
    return image_kit


def test_without_a_layout_the_disk_is_one_clean_filesystem(probed: Probed, tmp_path: Path) -> None:
    raw = probed.built.path("raw")
    assert root_offset(raw) == 0
    assert_clean(raw, tmp_path)
    assert "cloudimg-rootfs" in run("dumpe2fs", "-h", raw).stdout


def test_the_disk_holds_the_same_tree_as_the_archive(probed: Probed) -> None:
    disk, archive = DiskView(probed.built.path("raw")), probed.built.tree
    assert tuple(path for path in disk.entries() if path != "lost+found") == archive.entries()
    for path in ("usr/bin/busybox", "etc/passwd", "var/lib/toypm/installed"):
        assert disk.read_bytes(path) == archive.read_bytes(path)
        assert (disk.mode(path), disk.owner(path)) == (archive.mode(path), archive.owner(path))


def test_owners_modes_and_setuid_bits_are_in_the_disk(image_kit: ImageKit) -> None:
    view = DiskView(image_kit.build(types="raw", image_size=SMALL, packages=("mail",)).path("raw"))
    assert (view.mode("usr/bin/deliver"), view.owner("usr/bin/deliver")) == (0o4755, (8, 12))
    assert (view.mode("var/spool/mail"), view.owner("var/spool/mail")) == (0o2775, (8, 12))
    assert (view.mode("etc/mail.key"), view.owner("etc/mail.key")) == (0o640, (0, 12))
    assert view.mode("tmp") == 0o1777


CAPABLE = """
    import os
    import struct

    from imagewright.api import Call, Flavour, Step, hookimpl

    CAP_NET_RAW = 1 << 13  # capabilities(7)
    VALUE = struct.pack("<5I", 0x02000001, CAP_NET_RAW, 0, 0, 0)  # struct vfs_cap_data, revision 2, effective

    def give(context):
        os.setxattr(context.target_root / "usr/bin/busybox", "security.capability", VALUE)

    class Capable(Flavour):
        summary = "gives busybox the right to send raw packets"

        @hookimpl
        def cleanup(self, ctx):
            return (Step(id="10-capable", action=Call(function="capable_pack:give")),)
"""


def test_file_capabilities_are_those_of_a_tree_that_root_made(image_kit: ImageKit) -> None:
    image_kit.pack("capable-pack", CAPABLE, {"capable": "Capable"})
    built = image_kit.build("capable", types=("tar", "raw"), image_size=SMALL)
    # revision 2: one that names no user namespace, which would hold on the builder's machine only
    value = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    assert built.tree.get("usr/bin/busybox").attributes["security.capability"] == value
    said = run("debugfs", "-R", "ea_get -x /usr/bin/busybox security.capability", built.path("raw")).stdout
    assert value.hex() in said.replace(" ", ""), said


def test_a_script_may_partition_the_disk(image_kit: ImageKit, tmp_path: Path) -> None:
    raw = image_kit.build("parts", types="raw", image_size=SMALL).path("raw")
    assert root_offset(raw) == 2048 * 512
    assert_clean(raw, tmp_path)
    assert DiskView(raw).read("etc/hostname") == "toy\n"


def test_each_script_sees_what_the_one_before_printed(image_kit: ImageKit) -> None:
    image_kit.flavour("after", {"block-device.d/70-after": '#!/bin/sh\necho "after sees ${IMAGE_BLOCK_DEVICE##*/}"\n'})
    assert "after sees disk.rawp1" in image_kit.build("parts", "after", types="raw", image_size=SMALL).log


def test_a_script_that_names_another_disk_is_refused(image_kit: ImageKit) -> None:
    image_kit.flavour("astray", {"block-device.d/70-astray": "#!/bin/sh\necho IMAGE_BLOCK_DEVICE=/dev/sda1\n"})
    error = image_kit.fails("astray", types="raw", match="/dev/sda1")
    assert error.exit_code == 5


def test_a_declared_layout_is_laid_out(partitioned: ImageKit, tmp_path: Path) -> None:
    built = partitioned.build("partitioned", types="raw", image_size=2 * SMALL)
    raw = built.path("raw")
    table = json.loads(run("sfdisk", "--json", raw).stdout)["partitiontable"]
    assert table["label"] == "gpt"
    assert [partition["name"] for partition in table["partitions"]] == ["esp", "root"]
    assert_clean(raw, tmp_path)
    assert DiskView(raw).read("etc/hostname") == "toy\n"


def test_a_layout_and_a_script_at_once_are_a_conflict(partitioned: ImageKit) -> None:
    error = partitioned.fails("partitioned", "parts", types="raw")
    assert "partitioned" in str(error)
    assert "parts" in str(error)


def test_the_label_of_the_root_filesystem_is_the_users_choice(image_kit: ImageKit) -> None:
    raw = image_kit.build(types="raw", root_label="mine", image_size=SMALL).path("raw")
    assert "Filesystem volume name:   mine" in run("dumpe2fs", "-h", raw).stdout


def digests(built: Built) -> dict[str, str]:
    found = {}
    for path in built.paths:
        with path.open("rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


@pytest.mark.parametrize("flavours", [("probe-stranger",), ("parts",), ("partitioned",)])
def test_two_builds_are_the_same_to_the_last_bit(partitioned: ImageKit, flavours: tuple[str, ...]) -> None:
    first = partitioned.build(*flavours, types=("raw", "qcow2", "tar"), packages=("mail",), image_size=2 * SMALL)
    before = digests(first)
    again = partitioned.build(*flavours, types=("tar", "qcow2", "raw"), packages=("mail",), image_size=2 * SMALL)
    assert digests(again) == before


def test_another_content_gives_another_image(image_kit: ImageKit) -> None:
    first = image_kit.build(types="raw", image_size=SMALL).path("raw").read_bytes()
    again = image_kit.build(types="raw", image_size=SMALL, packages=("greeting",))
    assert first != again.path("raw").read_bytes()


def test_a_qcow2_holds_the_same_disk_as_the_raw_image(image_kit: ImageKit, tmp_path: Path) -> None:
    built = image_kit.build(types=("qcow2", "raw"), image_size=SMALL)
    copy = tmp_path / "copy.raw"
    assert run("qemu-img", "convert", "-O", "raw", built.path("qcow2"), copy).returncode == 0
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(built.path("raw").read_bytes()).digest()
    assert run("qemu-img", "check", built.path("qcow2")).returncode == 0


def test_a_raw_image_is_sparse(image_kit: ImageKit) -> None:
    raw = image_kit.build(types="raw", image_size=8 * SMALL).path("raw")
    assert raw.stat().st_blocks * 512 < raw.stat().st_size // 4


def test_too_small_an_image_leaves_the_earlier_one(image_kit: ImageKit) -> None:
    raw = image_kit.build(types="raw", image_size=SMALL).path("raw")
    before = raw.stat()
    image_kit.flavour("bulky", {"install.d/10-bulk": "#!/bin/sh\ndd if=/dev/urandom of=/bulk bs=1M count=40\n"})
    error = image_kit.fails("bulky", types="raw", image_size=24 * 2**20)
    assert error.exit_code == 3
    assert raw.stat() == before


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="the host has no qemu-img")
def test_a_type_that_nobody_offers_names_the_nearest(image_kit: ImageKit) -> None:
    with pytest.raises(ImagewrightError, match="qcow3") as caught:
        image_kit.build(types="qcow3")
    assert "qcow2" in str(caught.value)


def old_way(kit: ImageKit, name: str, table: str) -> Path:
    """A script as it was written before anybody thought of identifiers."""
    kit.flavour(
        name,
        {
            f"block-device.d/50-{name}": f'#!/bin/sh\nset -eu\nprintf "{table}" | sudo sfdisk "$IMAGE_BLOCK_DEVICE"\n'
            "echo IMAGE_BLOCK_DEVICE=${IMAGE_BLOCK_DEVICE}p2\n"
        },
    )
    return kit.build(name, types="raw", image_size=SMALL).path("raw")


def identifiers(raw: Path) -> list[str]:
    table = json.loads(run("sfdisk", "--json", raw).stdout)["partitiontable"]
    return [table["id"].lower(), *(entry.get("uuid", "").lower() for entry in table["partitions"])]


GPT = "label: gpt\\nsize=4M, type=uefi, name=esp\\ntype=linux\\n"
DOS = "label: dos\\nsize=4M, type=c\\ntype=83, bootable\\n"


@pytest.mark.parametrize("table", [GPT, DOS])
def test_identifiers_that_a_script_leaves_to_sfdisk_follow_from_the_plan(
    image_kit: ImageKit, tmp_path: Path, table: str
) -> None:
    first = old_way(image_kit, "old", table)
    found, content = identifiers(first), hashlib.sha256(first.read_bytes()).digest()
    if table is GPT:
        assert_clean(first, tmp_path)
        assert len(set(found)) == 3
    else:
        assert int(found[0], 16) > 0
    assert hashlib.sha256(old_way(image_kit, "old", table).read_bytes()).digest() == content
    assert identifiers(old_way(image_kit, "older", table))[0] != found[0]


def test_identifiers_that_a_script_names_stay(image_kit: ImageKit) -> None:
    disk, one = "3F2504E0-4F89-41D3-9A0C-0305E82C3301", "9b2f6c1e-7d34-4e0a-8f51-2c6d1b7a9e42"
    table = f"label: gpt\\nlabel-id: {disk}\\nsize=4M, uuid={one}\\ntype=linux\\n"
    found = identifiers(old_way(image_kit, "named", table))
    assert found[:2] == [disk.lower(), one]
    dos = old_way(image_kit, "named-dos", "label: dos\\nlabel-id: 0x0badcafe\\nsize=4M\\n;\\n")
    assert identifiers(dos)[0] == "0x0badcafe"
