"""The fragment of deploy-http with a real HTTP server in namespaces; the disk is a plain file."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import imagewright_flavours_ramdisks
import pytest
from imagewright.testing.initkit import STATIC

FRAGMENT = (Path(imagewright_flavours_ramdisks.__file__).parent / "deploy-http" / "init").read_text()
MIB = 2**20
SYSTEM = (("bios", 1, 1), ("state", 2, 8), ("root", 10, 20))
TYPE = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def write_disk(path, mib, parts, fill=""):
    """A disk whose partitions (name, first MiB, MiB) begin and end with their name and ``fill``."""
    path.write_bytes(b"boot code of the image".ljust(440, b"!") if parts else b"")
    with path.open("r+b") as file:
        file.truncate(mib * MIB)
        for name, start, size in parts:
            for at in (start * MIB, (start + size) * MIB - 4096):
                file.seek(at)
                file.write(f"{name} {fill}".encode().ljust(4096, b"."))
    if parts:
        lines = [f'start={start}MiB, size={size}MiB, type={TYPE}, name="{name}"' for name, start, size in parts]
        script = "\n".join(["label: gpt", "first-lba: 34", *lines]) + "\n"
        subprocess.run(("sfdisk", "-q", "--wipe", "never", path), input=script.encode(), check=True)
    return path


def names(disk):
    told = subprocess.run(("sfdisk", "-q", "-l", "-o", "name", disk), capture_output=True, text=True, check=True)
    return told.stdout.split()[1:]


def no_fault(disk):
    done = subprocess.run(("sgdisk", "-v", disk), capture_output=True, text=True, check=True)
    assert "No problems found" in done.stdout, done.stdout


def part(disk, mib, length):
    with disk.open("rb") as file:
        file.seek(mib * MIB)
        return file.read(length)


@pytest.fixture
def deployed(init_kit, tmp_path):
    """Deploy an image to a disk; ``served`` is what the server has instead, ``late`` its delay in s."""

    def deploy(image, disk, *, zstd=False, more="", served=None, digest=None, late=0):
        www = tmp_path / "www"
        www.mkdir(exist_ok=True)
        name = "image.raw"
        if zstd:
            name = "image.raw.zst"
            subprocess.run(("zstd", "-q", "-f", image, "-o", www / name), check=True)
        else:
            (www / name).write_bytes(image.read_bytes())
        if digest is None:
            digest = hashlib.sha256((www / name).read_bytes()).hexdigest()
        (www / f"{name}.sha256").write_text(f"{digest}  {name}\n")
        if served is not None:
            (www / name).write_bytes(served((www / name).read_bytes()))
        setup = f"""
mount -t tmpfs sys sys
mkdir -p sys/class/block/vda sys/class/net/veth0 usr/bin
echo {disk.stat().st_size // 512} >sys/class/block/vda/size
echo 1 >sys/class/net/veth0/carrier
: >dev/vda
mount --bind {disk} dev/vda
cp "$(command -v dd)" usr/bin/dd
{{ sleep {late}; beyond "$BUSYBOX" httpd -f -p 10.9.0.1:80 -h {www}; }} &
"""
        line = f"{STATIC} disk=vda image_url=http://10.9.0.1/{name} {more}"
        return init_kit.live(
            {"deploy-http": FRAGMENT},
            line,
            programs=("curl", "sfdisk", "zstd"),
            setup=setup,
            server="http",
            patience=120,
        )

    return deploy


@pytest.mark.parametrize("zstd", [False, True])
def test_the_whole_image_is_on_a_used_disk_with_a_table_for_its_size(zstd, deployed, tmp_path):
    image = write_disk(tmp_path / "image", 32, SYSTEM)
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xaa" * (48 * MIB))
    life = deployed(image, disk, zstd=zstd)
    assert "all done" in life.console, life.console
    no_fault(disk)
    assert names(disk) == ["bios", "state", "root"]
    assert part(disk, 1, 30 * MIB) == part(image, 1, 30 * MIB)
    assert part(disk, 0, 440) == part(image, 0, 440)
    assert [report["state"] for report in life.documents("/report")] == ["started", "done"]


def test_a_second_deployment_leaves_the_partition_that_stays_as_it_was(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 64, (("bios", 1, 1), ("state", 2, 8), ("root", 10, 50)), fill="old")
    before = part(disk, 2, 8 * MIB)
    image = write_disk(tmp_path / "image", 32, SYSTEM, fill="new")
    life = deployed(image, disk, zstd=True)
    assert "the partition state stays" in life.console, life.console
    assert part(disk, 2, 8 * MIB) == before
    assert part(disk, 10, 8) == b"root new"
    assert part(disk, 0, 440) == part(image, 0, 440)
    assert names(disk) == ["bios", "state", "root"]
    no_fault(disk)


def test_a_partition_that_the_image_lacks_stays_too(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 64, (("root", 1, 20), ("data", 50, 8)), fill="old")
    image = write_disk(tmp_path / "image", 32, (("root", 1, 25),), fill="new")
    life = deployed(image, disk, more="image_keep=data")
    assert "all done" in life.console, life.console
    assert names(disk) == ["root", "data"]
    assert part(disk, 50, 8) == b"data old"


def test_a_server_that_is_not_there_yet_is_waited_for(deployed, tmp_path):
    image = write_disk(tmp_path / "image", 32, SYSTEM)
    life = deployed(image, write_disk(tmp_path / "disk", 48, ()), late=5)
    assert "Failed to connect" in life.console, life.console
    assert "all done" in life.console, life.console


def test_without_a_wish_nothing_stays(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 64, SYSTEM, fill="old")
    deployed(write_disk(tmp_path / "image", 32, SYSTEM, fill="new"), disk, more="image_keep=")
    assert part(disk, 2, 9) == b"state new"


def failed(life, reason):
    report = life.documents("/report")[-1]
    assert (report["state"], report["flavour"]) == ("failed", "deploy-http")
    assert reason in report["message"], report["message"]
    assert reason in life.console


def test_a_layout_that_moved_into_it_is_refused_and_the_disk_left_as_it_was(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 64, (("state", 2, 20),), fill="old")
    before = disk.read_bytes()
    life = deployed(write_disk(tmp_path / "image", 32, SYSTEM), disk)
    failed(life, "the image has partition 3 (root, ")
    assert disk.read_bytes() == before


def test_a_wrong_digest_leaves_a_disk_without_a_table_and_a_report(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 48, SYSTEM, fill="old")
    life = deployed(write_disk(tmp_path / "image", 32, SYSTEM), disk, more="image_keep=", digest="0" * 64)
    failed(life, f"not {'0' * 64}")
    assert not any(part(disk, 0, 17408))
    assert not any(disk.read_bytes()[-16896:])


def test_a_wrong_digest_leaves_the_partition_that_stays_alone_and_nothing_to_start_from(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 48, SYSTEM, fill="old")
    before = part(disk, 2, 8 * MIB)
    life = deployed(write_disk(tmp_path / "image", 32, SYSTEM), disk, digest="0" * 64)
    failed(life, "the digest of http://10.9.0.1/image.raw is ")
    assert part(disk, 2, 8 * MIB) == before
    assert names(disk) == ["state"]
    assert part(disk, 0, 5) == b"\xcd\x18\xf4\xeb\xfd"


def test_a_disk_that_is_too_small_is_left_as_it_was(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 16, (("old", 1, 8),))
    before = disk.read_bytes()
    life = deployed(write_disk(tmp_path / "image", 32, SYSTEM), disk)
    failed(life, f"needs a disk of {32 * MIB} bytes, /dev/vda has {16 * MIB}")
    assert disk.read_bytes() == before


@pytest.mark.parametrize("zstd", [False, True])
def test_an_image_that_is_cut_off_is_not_one(zstd, deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 48, ())
    image = tmp_path / "image"
    write_disk(image, 32, SYSTEM)
    life = deployed(image, disk, zstd=zstd, served=lambda whole: whole[: len(whole) * 2 // 3])
    failed(life, "the digest of" if not zstd else "")
    assert life.documents("/report")[-1]["message"]
    assert not any(part(disk, 0, 17408))


def test_an_image_that_is_not_there_is_named(deployed, tmp_path):
    disk = write_disk(tmp_path / "disk", 48, SYSTEM)
    before = disk.read_bytes()
    life = deployed(write_disk(tmp_path / "image", 32, SYSTEM), disk, more="image_url=http://10.9.0.1/nowhere.raw")
    failed(life, "http://10.9.0.1/nowhere.raw.sha256 cannot be fetched")
    more = f"image_url=http://10.9.0.1/nowhere.raw image_sha256={'0' * 64}"
    life = deployed(tmp_path / "image", disk, more=more)
    failed(life, "http://10.9.0.1/nowhere.raw could not be fetched to its end")
    assert disk.read_bytes() == before


def test_a_bare_filesystem_is_written_whole(deployed, tmp_path):
    image, disk = tmp_path / "image", write_disk(tmp_path / "disk", 16, SYSTEM[:2])
    image.write_bytes(bytes(range(256)) * (8 * 4096))
    life = deployed(image, disk, more="image_keep=none")
    assert "all done" in life.console, life.console
    assert part(disk, 0, 8 * MIB) == image.read_bytes()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("disk=vda", "image_url= is missing"),
        ("image_url=http://10.9.0.1/x", "disk= is missing"),
        ("disk=vda image_url=file:///etc/passwd", "cannot be fetched"),
        ("disk=vda image_url=http://10.9.0.1/x image_sha256=abc", "3 digits, not 64"),
        ("disk=vda image_url=http://10.9.0.1/x image_sha256=$(reboot)", "no SHA-256"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_named(line, reason, init_kit):
    setup = "mount -t tmpfs sys sys; mkdir -p sys/class/block/vda sys/class/net/veth0; echo 9 >sys/class/block/vda/size"
    setup += "; echo 1 >sys/class/net/veth0/carrier; : >dev/vda"
    life = init_kit.live({"deploy-http": FRAGMENT}, f"{STATIC} {line}", programs=("curl", "sfdisk"), setup=setup)
    assert "deploy-http: FAILED: " in life.console
    assert reason in life.console
