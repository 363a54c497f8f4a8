"""The fragment of deploy with the real tgtd, and the real boot server, in namespaces with a network between them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import imagewright_flavours_ramdisks
import pytest
from imagewright import hosttools
from imagewright.testing.initkit import STATIC

FRAGMENT = (Path(imagewright_flavours_ramdisks.__file__).parent / "deploy" / "init").read_text()
PROGRAM = Path(sys.executable).parent / "imagewright"
IQN = "iqn.2012-11.org.imagewright.test:disk"
LINE = f"{STATIC} disk=vda iscsi_target_iqn={IQN} deployment_id=17"
MIB = 2**20


@pytest.fixture
def deployed(init_kit, tmp_path):
    """Run the ramdisk with a boot server beside it; ``options`` are the server's."""
    missing = hosttools.missing(("tgtd", "tgtadm", "qemu-img", "qemu-block-extra"))
    if missing:
        pytest.skip(f"apt-get install {' '.join(hosttools.packages_of(missing))}")

    def deploy(line, *options):
        image, disk = tmp_path / "image.raw", tmp_path / "disk.raw"
        image.write_bytes(b"")
        with image.open("r+b") as file:
            file.truncate(32 * MIB)
        subprocess.run(("sfdisk", "-q", image), input=b'label: gpt\nstart=2048, name="root"\n', check=True)
        with image.open("r+b") as file:
            file.seek(MIB)
            file.write(b"the root filesystem" * 5000)
        disk.write_bytes(b"\xaa" * (48 * MIB))
        (tmp_path / "keys").write_text("17 a&key\n")
        (tmp_path / "password").write_text("a-long-password\n")
        log, reports = tmp_path / "log", tmp_path / "reports"
        words = (
            f"{PROGRAM} boot-server --json --once --listen 10.9.0.1:10000 --image {image} --keys {tmp_path / 'keys'}"
            f" --reports {reports} --cache-dir {tmp_path / 'cache'} {' '.join(options)}"
        )
        setup = f"""
mount -t tmpfs sys sys
mkdir -p sys/class/block/vda sys/class/net/veth0
echo 1 >sys/class/net/veth0/carrier
: >dev/vda
mount --bind {disk} dev/vda
beyond {words} >{log} 2>&1 &
until grep -q started {log}; do sleep 0.1; done
"""
        life = init_kit.live(
            {"deploy": FRAGMENT}, line, programs=("tgtd", "tgtadm"), setup=setup, patience=120, timeout=1
        )
        kept = [json.loads(path.read_text()) for path in sorted(reports.glob("*.json"))]
        return life, image, disk, {one["kind"]: one["content"] for one in kept}, log.read_text()

    return deploy


def test_the_disk_is_written_the_machine_is_told_and_the_target_let_go(deployed):
    life, image, disk, kept, log = deployed(
        f"{LINE} deployment_key=a&key iscsi_chap_user=writer iscsi_chap_password=a-long-password",
        "--chap-user writer --chap-password $FOLDER/../password",
    )
    assert "all done" in life.console, life.console + log
    assert kept["deployment"]["state"] == "done"
    assert life.end == "reboot"
    content = disk.read_bytes()
    assert content[MIB : 31 * MIB] == image.read_bytes()[MIB : 31 * MIB]
    done = subprocess.run(("sgdisk", "-v", disk), capture_output=True, text=True, check=True)
    assert "No problems found" in done.stdout, done.stdout


def test_a_wrong_key_leaves_the_disk_as_it_was(deployed):
    life, _, disk, kept, log = deployed(f"{LINE} deployment_key=another")
    assert "FAILED: the boot server http://10.9.0.1:10000 did not take the request" in life.console, life.console
    assert "unknown id or wrong key" in log
    assert "deployment" not in kept
    assert kept["report"]["state"] == "failed"
    assert disk.read_bytes() == b"\xaa" * (48 * MIB)
