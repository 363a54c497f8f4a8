"""No step takes without end: time, output and memory are limited, in every place where steps run."""

from __future__ import annotations

import pytest
from imagewright.errors import StepFailed
from imagewright.sandbox.limits import MIB, Limits
from imagewright.testing.kit import ImageKit

PHASES = ("extra-data", "install", "cleanup")
"""One on the host, one inside the tree, one outside of it."""


@pytest.mark.parametrize("phase", PHASES)
def test_a_step_that_hangs_is_ended_by_a_message_that_names_the_setting(image_kit: ImageKit, phase: str) -> None:
    image_kit.flavour("slow", {f"{phase}.d/50-hang": "#!/bin/sh\nsleep 86399\n"})
    error = image_kit.fails("slow", limits=Limits(seconds=2), kind=StepFailed, match="longer than 2 seconds")
    assert "--step-timeout" in error.hint
    assert any("50-hang" in line for line in error.where)


@pytest.mark.parametrize("phase", PHASES)
def test_a_step_that_prints_without_end_is_ended_by_a_message_that_names_the_setting(
    image_kit: ImageKit, phase: str
) -> None:
    image_kit.flavour("loud", {f"{phase}.d/50-print": "#!/bin/sh\nyes 'a line of many'\n"})
    error = image_kit.fails("loud", limits=Limits(output=MIB), kind=StepFailed, match="more than 1 MiB")
    assert "--step-output" in error.hint
    assert any("50-print" in line for line in error.where)
    log = next(image_kit.folder.glob("build-*.log"))
    assert log.stat().st_size < 4 * MIB


@pytest.mark.parametrize("phase", PHASES)
def test_a_step_that_takes_too_much_memory_is_told_of_the_setting(image_kit: ImageKit, phase: str) -> None:
    # dd takes its block as one piece of memory
    greedy = "#!/bin/sh\nexec dd if=/dev/zero of=/dev/null bs=512M count=1\n"
    image_kit.flavour("greedy", {f"{phase}.d/50-take": greedy})
    error = image_kit.fails("greedy", limits=Limits(memory=256 * MIB), kind=StepFailed)
    assert "--step-memory" in str(error)


def test_limits_that_are_wide_enough_are_not_felt(image_kit: ImageKit) -> None:
    image_kit.flavour("modest", {"install.d/50-print": "#!/bin/sh\nseq 1000 | tail -1\nsleep 1\n"})
    limits = Limits(seconds=600, memory=1024 * MIB, output=64 * MIB)
    assert "1000\n" in image_kit.build("modest", limits=limits).log
