"""What the pack promises: adapters' modules at the start of the machine, in images and ramdisks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import imagewright_flavours_mellanox
import pytest
from imagewright.testing.contract import PackContract

MODULES = ["mlx4_core", "mlx4_en", "mlx4_ib", "mlx5_core", "mlx5_ib", "ib_ipoib"]


class TestContract(PackContract):
    flavours = ("mellanox",)
    # rdma-core is no package of the toy
    operating_system = "debian"


def test_the_image_loads_the_modules_at_boot_and_its_initramfs_holds_them(image_kit):
    plan = image_kit.plan("mellanox", operating_system="debian")
    put = next(step.step.action for step in plan.steps if step.step.id == "00-static-mellanox")
    files = {entry.path: entry.read().decode().split() for entry in put.tree.entries if entry.kind == "file"}
    assert files["etc/modules-load.d/mellanox.conf"] == MODULES
    assert files["usr/share/initramfs-tools/modules.d/mellanox"] == MODULES


def test_the_user_space_side_and_the_firmware_tool_are_installed(image_kit):
    plan = image_kit.plan("mellanox", operating_system="debian")
    assert {"rdma-core", "ibverbs-providers", "mstflint"} <= set(plan.packages)


FOLDER = Path(imagewright_flavours_mellanox.__file__).parent / "mellanox"
FRAGMENT = (FOLDER / "init").read_text()


def test_a_ramdisk_has_its_modules_its_udev_rule_and_its_fragment_after_that_of_deploy(tmp_path):
    pytest.importorskip("imagewright_flavours_ramdisks")
    command = Path(sys.executable).parent / "ramdisk-image-create"
    argv = [command, "--plan", "--json", "-o", tmp_path / "r", "deploy", "mellanox", "debian"]
    plan = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    assert {one["name"] for one in plan["modules"] if one["flavour"] == "mellanox"} == set(MODULES)
    assert ("/usr/lib/udev/rules.d/80-mellanox.rules", "mellanox") in {(f["path"], f["flavour"]) for f in plan["files"]}
    assert plan["init"] == ["deploy", "mellanox"]


@pytest.mark.parametrize(("vendor", "loaded"), [("0x15b3", True), ("0x8086", False)])
def test_the_fragment_loads_the_modules_only_where_there_is_an_adapter(init_kit, vendor, loaded):
    devices = "mount -t tmpfs sys sys; mkdir -p sys/class sys/bus/pci/devices/0000:01:00.0"
    life = init_kit.live(
        {"mellanox": FRAGMENT}, setup=f"{devices}; echo {vendor} >sys/bus/pci/devices/0000:01:00.0/vendor"
    )
    # There are no modules in that machine, so that what is asked for is named.
    tried = [line.split()[4] for line in life.console.splitlines() if "could not be loaded" in line]
    assert tried == (["mlx4_en", "mlx4_ib", "mlx5_ib", "ib_ipoib"] if loaded else [])
    assert "all done" in life.console
