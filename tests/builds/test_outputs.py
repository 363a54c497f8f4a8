"""Several types of one image: written side by side from one disk, all of them or none."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from imagewright.errors import StepFailed
from imagewright.events import StepFinished, StepStarted
from imagewright.testing.kit import ImageKit

SIZE = 64 * 2**20

DRIVERS = '''
    """Output drivers that meet, that fail, and that hang."""

    import os
    import time
    from imagewright.errors import StepFailed

    class Meeting:
        suffix = ".met"
        needs = "raw"
        tools = ()
        other = ".mut"

        def write(self, image, destination):
            destination.with_suffix(".tmp" + self.suffix).touch()
            end = time.monotonic() + 120
            while not destination.with_suffix(".tmp" + self.other).exists():
                if time.monotonic() > end:
                    raise StepFailed("never-met", "the other driver did not run at the same time")
                time.sleep(0.01)
            destination.write_text(self.suffix)

    class Mutual(Meeting):
        suffix = ".mut"
        other = ".met"

    class Bad:
        suffix = ".bad"
        needs = "raw"
        tools = ()

        def write(self, image, destination):
            destination.write_text("half")
            raise StepFailed("bad-driver", "the driver failed", where=("here",), hint="ask somebody")

    class Dead(Bad):
        suffix = ".dead"

        def write(self, image, destination):
            os._exit(7)
'''


@pytest.fixture
def drivers(image_kit: ImageKit, monkeypatch: pytest.MonkeyPatch) -> ImageKit:
    """Drivers in a distribution that is importable, as pip would have installed it."""
    folder = image_kit.folder / "installed"
    folder.mkdir()
    names = {"met": "Meeting", "mut": "Mutual", "bad": "Bad", "dead": "Dead"}
    image_kit.pack("some-drivers", DRIVERS, {}, onto=folder)
    points = "[imagewright.outputs]\n" + "".join(f"{name} = some_drivers:{attr}\n" for name, attr in names.items())
    (folder / "some_drivers-1.0.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return image_kit


def test_the_types_of_a_disk_are_written_at_the_same_time(drivers: ImageKit) -> None:
    built = drivers.build(types=("met", "mut", "tar"), image_size=SIZE)
    assert built.path("met").read_text() == ".met"
    assert built.path("mut").read_text() == ".mut"
    names = [
        (type(event).__name__, event.step, event.number if isinstance(event, StepStarted) else 0)
        for event in built.events
        if isinstance(event, StepStarted | StepFinished) and event.phase == "artefacts"
    ]
    assert names[:4] == [
        ("StepStarted", "tar", 1),
        ("StepFinished", "tar", 0),
        ("StepStarted", "met", 2),
        ("StepStarted", "mut", 3),
    ]


def test_the_sums_of_all_types_are_those_of_the_files_and_all_hold_the_same_disk(image_kit: ImageKit) -> None:
    several = image_kit.build(types=("qcow2", "raw", "tar"), image_size=SIZE, output="several")
    written = {Path(line.split("  ")[1]).suffix: line.split("  ")[0] for line in sums(several.path("sha256"))}
    for kind in ("qcow2", "raw", "tar"):
        assert hashlib.sha256(several.path(kind).read_bytes()).hexdigest() == written[f".{kind}"]
    back = image_kit.folder / "back.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", several.path("qcow2"), back], check=True)
    subprocess.run(["cmp", back, several.path("raw")], check=True)
    raw = several.path("raw").stat()
    assert raw.st_size == SIZE
    assert raw.st_blocks * 512 < SIZE // 2, "the holes of the disk are no holes any more"


def sums(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize(("kind", "words"), [("bad", "the driver failed"), ("dead", "with status 7")])
def test_if_one_type_fails_none_appears(drivers: ImageKit, kind: str, words: str) -> None:
    error = drivers.fails(types=("raw", kind, "tar"), image_size=SIZE, match=words)
    assert f"step: artefacts/{kind}" in error.where
    if kind == "bad":
        assert isinstance(error, StepFailed)
        assert (error.reference, error.where[0], error.hint) == ("bad-driver", "here", "ask somebody")
