"""What the pack promises: its flavours keep to the contract, and give a ramdisk what its fragments call."""

from __future__ import annotations

import subprocess
from importlib import resources

import pytest
from imagewright.testing.contract import PackContract

FLAVOURS = ("deploy", "deploy-http", "hwburnin", "hwdiscovery")


class TestContract(PackContract):
    flavours = FLAVOURS
    # tgt and memtester are no packages of the toy
    operating_system = "debian"


def test_fragments_are_joined_in_the_order_in_which_their_flavours_were_named(image_kit):
    plan = image_kit.ramdisk_plan("hwdiscovery", "deploy", operating_system="debian")
    assert [fragment.flavour for fragment in plan.fragments] == ["hwdiscovery", "deploy"]


def test_deploy_and_hwburnin_bring_their_programs_and_the_packages_of_these(image_kit):
    plan = image_kit.ramdisk_plan("deploy", "hwburnin", operating_system="debian")
    wanted = {(executable.name, flavour) for executable, flavour in plan.executables}
    assert {("tgtd", "deploy"), ("tgtadm", "deploy"), ("memtester", "hwburnin")} <= wanted
    assert {"tgt", "memtester"} <= set(plan.packages)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_fragment_passes_shellcheck_as_the_contract_of_the_init_says(flavour):
    fragment = resources.files("imagewright_flavours_ramdisks") / flavour / "init"
    argv = ["shellcheck", "--severity=style", "--shell=sh", str(fragment)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
