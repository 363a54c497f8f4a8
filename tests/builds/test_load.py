"""Eight builds at once on one cache, and a thousand plans in one process: all right, and nothing is left over."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from imagewright.building.tree.forecast import forecast
from imagewright.planning import prepare
from imagewright.testing.kit import ImageKit, own_import_path, program

from .layers_kit import SH, layers

BUILDS = 8
MOST_MEMORY = 200 * 2**20
"""Bytes that a builder, or a tool that it runs, may hold."""

MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as note:
    note.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))
sys.exit(status)
"""
"""Runs a command and notes its memory. A child of the tests' own process would begin with the memory of that one."""

LINE = re.compile(r"\[ *\d+:\d\d\] \S.*")
STEP = re.compile(r"^\[ *\d+:\d\d\] ((?:root|packages|install|cleanup)/\S+) (done|cached|failed) after", re.MULTILINE)
WAITING = "another build makes the same layer; waiting for it"


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    # slow enough for the others to come while a step runs
    image_kit.flavour(
        "common",
        {
            f"install.d/{number}0-common": SH + f"sleep 0.3\nmkdir -p /srv\necho {number} >/srv/{number}\n"
            for number in (1, 2, 3)
        },
    )
    for name in ("odd", "even"):
        image_kit.flavour(name, {f"install.d/50-{name}": SH + f"sleep 0.3\necho {name} >/srv/{name}\n"})
    return image_kit


def begun(kit: ImageKit, place: Path, name: str, *options: str) -> subprocess.Popen[bytes]:
    """A build into a folder of its own. All images have one name, so that scripts that see it share their layers."""
    place.mkdir()
    with (place / "said").open("wb") as said:
        return subprocess.Popen(
            [
                *(sys.executable, "-I", "-c", MEASURED, str(place / "memory")),
                *(program("disk-image-create"), "-t", "tar", "-o", "image", *options),
                *("--skip-base", "--progress", "plain", "toy", "common", name),
            ],
            env=kit.environment(),
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


@pytest.mark.timeout(1200)
def test_eight_builds_at_once_make_every_layer_once_and_all_images_right(kit: ImageKit) -> None:
    clean = {}
    for name in ("odd", "even"):
        place = kit.folder / f"clean-{name}"
        assert begun(kit, place, name, "--no-cache").wait(600) == 0
        clean[name] = (place / "image.tar").read_bytes()
    places = [(kit.folder / f"at-once-{number}", ("odd", "even")[number % 2]) for number in range(BUILDS)]
    builds = [begun(kit, place, name) for place, name in places]
    done: Counter[str] = Counter()
    for build, (place, name) in zip(builds, places, strict=True):
        status = build.wait(900)
        said = (place / "said").read_text()
        assert status == 0, said
        assert int((place / "memory").read_text()) <= MOST_MEMORY
        assert (place / "image.tar").read_bytes() == clean[name]
        # progress: whole lines with a time in front, and one line for each layer that is waited for
        lines = said.splitlines()
        assert all(LINE.fullmatch(line) for line in lines), said
        steps = STEP.findall(said)
        assert said.count(WAITING) <= len(steps)
        assert {how for _step, how in steps} <= {"done", "cached"}
        done.update(step for step, how in steps if how == "done")
    kept = layers(kit)
    assert {f"install/{number}0-common" for number in (1, 2, 3)} <= kept.keys()
    # no work was done twice: what both kinds of image have is made once, the last step of the tree once for each
    assert done.pop("cleanup/90-toypm") == 2
    assert set(done.values()) == {1}, done
    assert {"root/10-busybox", "packages/20-install", "install/50-odd", "install/50-even"} <= done.keys()
    assert not list(kit.work.iterdir())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.timeout(1200)
def test_a_thousand_plans_in_one_process_leave_nothing_behind(kit: ImageKit, monkeypatch: pytest.MonkeyPatch) -> None:
    passing = kit.folder / "passing"
    passing.mkdir()
    monkeypatch.setenv("TMPDIR", str(passing))
    monkeypatch.setattr("tempfile.tempdir", None)

    def plan(number: int) -> None:
        name = ("odd", "even")[number % 2]
        request = kit.request("common", name, output=f"image-{number}", settings=())
        with own_import_path():
            prepared = prepare(request)
            assert len(prepared.plan.steps) == 8
            if number % 10 == 0:
                forecast(request, prepared)

    def held() -> tuple[int, int, int]:
        gc.collect()
        return len(gc.get_objects()), open_files(), threading.active_count()

    before = {str(path) for path in kit.folder.rglob("*")}
    for number in range(100):  # what is imported and compiled once is there afterwards
        plan(number)
    first = held()
    for number in range(1000):
        plan(number)
    objects, files, threads = (now - then for now, then in zip(held(), first, strict=True))
    # less than one for ten plans: each of them alone makes thousands
    assert objects < 100
    assert files == 0
    assert threads == 0
    assert {str(path) for path in kit.folder.rglob("*")} == before
