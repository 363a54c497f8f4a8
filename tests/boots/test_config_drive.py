"""Boots 3 and 4: another copy of the image, under UEFI from NVMe, and the kernel that it installs."""

from __future__ import annotations

import pytest
from boots_kit.lab import GROWTH, Lab, Life

Other = tuple[Life, Life | Exception]


@pytest.fixture
def seen(other_copy: Other) -> dict[str, object]:
    """Boot 3."""
    return other_copy[0].seen


@pytest.fixture
def second_kernel(other_copy: Other) -> Life:
    """Boot 4."""
    if isinstance(other_copy[1], Exception):
        pytest.fail(f"the second kernel: {other_copy[1]}")
    return other_copy[1]


def test_a_config_drive_lets_its_key_in(seen: dict[str, object]) -> None:
    assert seen["cloud"] in {"configdrive", "openstack"}
    assert seen["hostname"] == "other-copy"


def test_it_started_under_uefi_from_nvme(seen: dict[str, object]) -> None:
    assert seen["uefi"]
    assert str(seen["root_disk"]).startswith("/dev/nvme0n1p")


def test_it_is_running_and_not_degraded(seen: dict[str, object]) -> None:
    assert seen["state"] == "running", seen["why"]


def test_its_root_filesystem_fills_the_disk(lab: Lab, other_copy: Other) -> None:
    assert other_copy[0].seen["root_size"] > 0.9 * (lab.size + GROWTH)


def test_all_first_boot_scripts_ran_once(seen: dict[str, object]) -> None:
    names = ("10-first", "20-second", "30-fails-once", "40-last")
    assert seen["ran"] == [f"{name} on other-copy" for name in names]


def test_two_copies_share_no_host_key_and_no_machine_id(first_life: Life, other_copy: Other) -> None:
    one, two = first_life.seen, other_copy[0].seen
    assert one["host_keys"]
    assert two["host_keys"]
    assert not set(one["host_keys"]) & set(two["host_keys"])
    assert one["machine_id"] != two["machine_id"]
    assert len(two["machine_id"]) == 32


def test_a_kernel_installed_in_the_running_machine_boots_next(seen: dict[str, object], second_kernel: Life) -> None:
    assert f"vmlinuz-{seen['kernel']}" in second_kernel.facts["boot"]
    assert second_kernel.seen["kernel"] != seen["kernel"]
    assert "cloud" in second_kernel.seen["kernel"]
    assert second_kernel.seen["uefi"]


def test_the_same_instance_keeps_its_host_keys_and_repeats_no_first_boot_script(
    seen: dict[str, object], second_kernel: Life
) -> None:
    assert second_kernel.seen["host_keys"] == seen["host_keys"]
    assert second_kernel.seen["ran"] == seen["ran"]


def test_with_the_second_kernel_it_is_still_running_and_not_degraded(second_kernel: Life) -> None:
    assert second_kernel.seen["state"] == "running", second_kernel.seen["why"]
