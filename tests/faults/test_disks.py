"""Places that are full or cannot be written, each alone: the cache, the work folder, the folder of the output."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from .harness import PATIENT, Bench
from .test_signals import STATUS, some

MIB = 2**20

pytestmark = [
    pytest.mark.timeout(PATIENT),
    pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small filesystem"),
]

SIZES = {
    "cache": [4096 * 2, 65536, *(round(MIB * step / 4) for step in range(1, 36, 2))],
    "output": [4096, 65536, *(round(MIB * step / 4) for step in range(1, 10))],
}
"""Bytes of filesystems, from what takes nothing to what takes nearly all."""

HOG = "dd if=/dev/zero of=/hog bs=1M count={} 2>/dev/null || exit 1\nrm /hog\n"


@pytest.mark.parametrize("where", ["cache", "output"])
def test_a_place_that_is_full_at_any_size(bench: Bench, where: str) -> None:
    place = getattr(bench.kit, where)
    for size in SIZES[where]:
        small = [{"place": str(place), "size": size}]
        done = bench.strike(f"{where} full", mounts=small, in_view=where == "output", statuses=(1, 4))
        if where == "output" and done.status:
            assert "No space left" in done.stderr or "no space left" in done.stderr, done.stderr


def test_a_work_folder_that_is_full_at_any_step(bench: Bench) -> None:
    kit = bench.kit
    for phase in ("pre-install", "install", "post-install", "finalise"):
        kit.flavour("hog", {f"{phase}.d/90-hog": f"#!/bin/sh\nset -eu\n{HOG.format(200)}"})
        done = bench.strike(
            "work folder full in a step", "hog", mounts=[{"place": str(kit.work), "size": 66 * MIB}], statuses=(1,)
        )
        assert "hog" in done.stderr
        (kit.flavours / "hog" / f"{phase}.d/90-hog").unlink()


def test_a_work_folder_that_is_full_at_any_size(bench: Bench) -> None:
    # the room is taken by what lies there already, so that the check before the work still holds
    kit = bench.kit
    for left in [step * MIB // 4 for step in range(16)]:
        kit.flavour("eater", {"pre-install.d/10-eat": EATER.format(left=left), "cleanup.d/10-eaten": EATEN})
        bench.strike(
            "work folder nearly full", "eater", mounts=[{"place": str(kit.work), "size": 70 * MIB}], statuses=(1, 4)
        )


EATER = """#!/bin/sh
# what a step leaves takes the room of the steps behind it, all of it but some
set -eu
mkdir -p /var/eaten
dd if=/dev/zero of=/var/eaten/all bs=64k 2>/dev/null || true
truncate -s -{left} /var/eaten/all
"""

EATEN = """#!/bin/sh
rm -r "$TARGET_ROOT/var/eaten"
"""


@pytest.mark.parametrize("where", ["cache", "work", "output"])
@pytest.mark.parametrize("unchanged", [False, True], ids=["a build", "nothing to do"])
def test_a_place_that_cannot_be_written(bench: Bench, where: str, unchanged: bool) -> None:
    if unchanged:
        bench.build()
    place = getattr(bench.kit, where)
    done = bench.strike(f"{where} read-only", mounts=[{"place": str(place)}], next_turn=not unchanged, statuses=(4,))
    if done.status:
        assert str(place) in done.stderr
        assert "hint: " in done.stderr


@pytest.mark.parametrize("where", ["cache", "work", "output"])
def test_a_place_that_takes_no_layers(bench: Bench, where: str) -> None:
    place = [{"place": str(getattr(bench.kit, where)), "size": 256 * MIB, "stacked": True}]
    done = bench.strike(f"{where} takes no layers", mounts=place, in_view=where == "output", statuses=(4,))
    if where == "work":
        assert done.status == 4
        assert "takes no overlay layers" in done.stderr
        assert "--work-dir" in done.stderr
    else:
        assert done.status == 0, done.stderr


@pytest.fixture
def elsewhere(bench: Bench) -> Iterator[Path]:
    """A folder for outputs on another filesystem than the cache."""
    if os.stat("/dev/shm").st_dev == bench.kit.cache.stat().st_dev:
        pytest.skip("the tests' folder is on the tmpfs of /dev/shm")
    before = bench.kit.output
    with TemporaryDirectory(dir="/dev/shm", prefix="imagewright-faults-") as name:
        bench.kit.output = Path(name)
        bench.build()
        yield Path(name)
    bench.kit.output = before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_an_output_on_another_filesystem(bench: Bench, elsewhere: Path, number: signal.Signals) -> None:
    calls = bench.counts()["call"]
    for at in some(f"elsewhere {number.name}", 40, 8):
        bench.strike(
            f"{number.name} with the output on another filesystem", signal=number, at="call", number=calls - at,
            statuses=(STATUS[number],),
        )  # fmt: skip
