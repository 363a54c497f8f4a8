"""Whole builds on the toy operating system: fixtures that all of them share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .probe_class import SOURCE

FLAVOURS = Path(__file__).parent / "flavours"

TARGET_PHASES = ("pre-install", "install", "post-install", "finalise")
SCRIPT_PHASES = ("block-device-size", "extra-data", *TARGET_PHASES, "cleanup", "block-device")
"""The phases in which the flavour ``probe`` runs a script during a build, in their order."""

PROBED_SYSTEM = """
    from pathlib import Path

    from imagewright.testing.toy import Toy

    class Probed(Toy):
        folder = Path({folder!r})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the flavour ``probe`` printed: (phase, name, value) in order."""

    lines: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, log: str) -> Answers:
        found = re.findall(r"^probe ([a-z-]+) ([^=]+)=(.*)$", log, re.MULTILINE)
        return cls(lines=tuple((phase, name, value.rstrip()) for phase, name, value in found))

    def phases(self) -> list[str]:
        """The phases in which the script began, in order, as often as it did."""
        return [phase for phase, name, _ in self.lines if name == "begin"]

    def get(self, phase: str, name: str) -> str:
        values = [value for where, what, value in self.lines if (where, what) == (phase, name)]
        assert len(values) == 1, f"{phase} said {name} {len(values)} times"
        return values[0]

    def variables(self, phase: str) -> dict[str, str]:
        return {what[4:]: value for where, what, value in self.lines if where == phase and what.startswith("env.")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The build with the flavour ``probe`` that many tests look at."""

    kit: ImageKit
    built: Built
    answers: Answers


@pytest.fixture
def image_kit(image_kit: ImageKit) -> ImageKit:
    image_kit.also(FLAVOURS)
    return image_kit


@pytest.fixture(scope="session", params=["folder", "class"])
def probed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Probed]:
    """Both forms of a flavour are asked the same."""
    folder = tmp_path_factory.mktemp("probed")
    with ImageKit.open(folder / "kit", shared=folder / "shared") as kit:
        if request.param == "folder":
            kit.also(FLAVOURS)
        else:
            for name in ("probe-needed", "probe-stranger"):
                (kit.flavours / name).symlink_to(FLAVOURS / name)
            kit.pack("probe-pack", SOURCE.format(folder=str(FLAVOURS / "probe")), {"probe": "Probe"})
        before = os.umask(0o077)
        try:
            built = kit.build(
                "probe-stranger",
                "probe",
                types=("raw", "tar"),
                image_size=3 * 2**26,
                release="first",
                settings={"probe.token": "s3cr3t-t0ken"},
            )
        finally:
            os.umask(before)
        yield Probed(kit=kit, built=built, answers=Answers.of(built.log))
