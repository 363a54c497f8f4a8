"""What the pack promises, as far as a plan shows it; tests/boots loads the module."""

from __future__ import annotations

from imagewright.testing.contract import PackContract
from imagewright.testing.kit import ImageKit
from imagewright.types import Phase, Put, Script


class TestContract(PackContract):
    flavours = ("dkms-example",)
    # compilers and headers are no packages of the toy
    operating_system = "debian"


def test_source_and_configuration_of_dkms_are_laid_before_the_step_that_builds(image_kit: ImageKit) -> None:
    plan = image_kit.plan("dkms-example", operating_system="debian")
    own = [step for step in plan.of(Phase.INSTALL) if step.origin.flavour == "dkms-example"]
    assert [step.step.id for step in own] == ["00-static-dkms-example", "60-dkms-example"]
    put = own[0].step.action
    assert isinstance(put, Put)
    names = {entry.path.rpartition("/")[2] for entry in put.tree.entries if entry.kind == "file"}
    assert names == {"dkms.conf", "Makefile", "imagewright_example.c"}


def test_the_step_asks_for_the_kernel_of_the_image_and_never_for_the_running_one(image_kit: ImageKit) -> None:
    plan = image_kit.plan("dkms-example", operating_system="debian")
    (script,) = (step.step.action for step in plan.of(Phase.INSTALL) if step.step.id == "60-dkms-example")
    assert isinstance(script, Script)
    assert b"$IMAGE_KERNEL" in script.content
    assert b"uname -r" not in script.content


def test_tools_go_again_unless_the_sources_are_to_stay(image_kit: ImageKit) -> None:
    for given, expected in (({}, False), ({"dkms-example.keep-sources": "true"}, True)):
        chosen = image_kit.plan("dkms-example", operating_system="debian", settings=given).flavour("dkms-example")
        assert chosen is not None
        assert dict(chosen.values)["keep-sources"] is expected
