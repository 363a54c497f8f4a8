"""Boot 12: a machine is started over the network by what `disk-image-get-kernel --pxe` wrote, on the image's disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from boots_kit.lab import Lab, Life, cannot
from imagewright.boot.disks import Disk
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.machine import Machine, Network
from imagewright.boot.seeds import write_nocloud
from imagewright.boot.ssh import make_key


@pytest.fixture(scope="module")
def netboot(lab: Lab, folder: Callable[[str], Path]) -> Path:
    """The folder for TFTP. The disk's boot loader has no part in what follows: a network card comes first."""
    where = folder("netboot")
    program = Path(sys.executable).parent / "disk-image-get-kernel"
    argv = (program, lab.image, "-o", where / "web", "--pxe", where / "tftp")
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return where / "tftp"


def machine(lab: Lab, netboot: Path, boot_file: str, *seeds: Path) -> Machine:
    disk = Disk(path=lab.image, format="qcow2")
    return Machine(disks=(disk,), seeds=seeds, network=Network(tftp=netboot, boot_file=boot_file))


@pytest.fixture(scope="module")
def life(lab: Lab, netboot: Path, folder: Callable[[str], Path]) -> Life:
    """Boot 12."""
    where = folder("boot-12")
    key = make_key(where)
    instance = Instance(id=new_instance_id(), hostname="netboot", public_keys=(key.public,))
    seed = write_nocloud(where / "seed.iso", instance)
    with lab.run(machine(lab, netboot, "boot.ipxe", seed), where) as it:
        login = lab.log_in(it, key)
        seen = {
            "command_line": login.run("cat /proc/cmdline").stdout,
            "root": login.run("findmnt -no SOURCE /").stdout.strip(),
        }
        return Life(console=it.console, seen=seen)


def test_ipxe_starts_the_image_s_kernel_on_the_image_s_root_filesystem(life: Life) -> None:
    # The image's own boot loader would say BOOT_IMAGE=.
    assert "initrd=web.ramdisk" in life.seen["command_line"]
    assert "BOOT_IMAGE=" not in life.seen["command_line"]
    assert life.seen["root"].startswith("/dev/vda")


def test_pxelinux_starts_the_image_s_kernel_and_ramdisk(lab: Lab, netboot: Path, folder: Callable[[str], Path]) -> None:
    if not (netboot / "pxelinux.0").exists():
        cannot("missing programs: apt-get install pxelinux syslinux-common")
    where = folder("pxelinux")
    with lab.run(machine(lab, netboot, "pxelinux.0"), where) as it:
        it.wait_for("BOOT_IMAGE=web.kernel", lab.patience)
        # The ramdisk has found the root filesystem and handed over to its init.
        it.wait_for("systemd[1]:", lab.patience)
