"""What the pack promises: adapters' modules at the start of the machine, in images and ramdisks."""

from __future__ import annotations

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
