"""No step takes without end: time, output and memory are limited, in every place where steps run."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from imagewright.errors import HostError, StepFailed
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


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The limit of ``ulimit -f``, in bytes.

    It is never below 2 MiB here: Python does not notice when it cuts the bytecode short that it keeps for all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("phase", PHASES)
def test_a_step_that_writes_a_file_too_large_is_told_of_the_hosts_limit(image_kit: ImageKit, phase: str) -> None:
    image_kit.flavour("fat", {f"{phase}.d/50-write": "#!/bin/sh\nexec dd if=/dev/zero of=/tmp/fat bs=1M count=8\n"})
    with files_of_at_most(4 * MIB):
        error = image_kit.fails("fat", kind=StepFailed)
    assert "ulimit -f" in error.cause
    assert any("50-write" in line for line in error.where)


@pytest.mark.parametrize(("types", "limit"), [(("tar",), 9 * MIB), (("raw",), 20 * MIB), (("qcow2",), 20 * MIB)])
def test_an_image_larger_than_files_may_be_is_one_clear_message(
    image_kit: ImageKit, types: tuple[str, ...], limit: int
) -> None:
    image_kit.flavour("fat", {"install.d/50-write": "#!/bin/sh\nexec dd if=/dev/urandom of=/usr/fat bs=1M count=8\n"})
    with files_of_at_most(limit):
        error = image_kit.fails("fat", types=types, kind=HostError, match="allows no file of that size")
    assert "ulimit -f" in error.cause


def test_a_file_of_a_flavour_larger_than_files_may_be_is_no_fault_of_the_flavour(image_kit: ImageKit) -> None:
    image_kit.flavour("fat", {"static/usr/fat": "x" * 3 * MIB})
    with files_of_at_most(2 * MIB + MIB // 2):
        error = image_kit.fails("fat", kind=HostError, match="Cannot write .*usr/fat: the host allows no file")
    assert "ulimit -f" in error.cause


@pytest.mark.parametrize("size", [None, 2**30])
def test_a_disk_larger_than_files_may_be_is_refused_before_any_work(image_kit: ImageKit, size: int | None) -> None:
    with files_of_at_most(4 * MIB):
        error = image_kit.fails(types=("raw",), image_size=size, kind=HostError, match="the disk has at least")
    assert "ulimit -f" in error.cause
    assert "root/10-busybox" not in next(image_kit.folder.glob("build-*.log")).read_text()


def test_limits_that_are_wide_enough_are_not_felt(image_kit: ImageKit) -> None:
    image_kit.flavour("modest", {"install.d/50-print": "#!/bin/sh\nseq 1000 | tail -1\nsleep 1\n"})
    limits = Limits(seconds=600, memory=1024 * MIB, output=64 * MIB)
    assert "1000\n" in image_kit.build("modest", limits=limits).log
