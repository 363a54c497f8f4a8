"""The phases that the caller runs on the host: sizes and extra data."""

from __future__ import annotations

import stat
from pathlib import Path

from imagewright.building.artefacts.files import sha256_of
from imagewright.building.staging.environment import variables
from imagewright.building.staging.trees import tidy_modes
from imagewright.building.state import Building
from imagewright.building.steps.onhost import run_on_host
from imagewright.disk.sizes import given_gib, parse_script_output
from imagewright.plan import digest_of
from imagewright.planning.keys import EXTRA_DATA
from imagewright.types import Origin, Phase, Size


def size_bounds(building: Building) -> tuple[tuple[Origin, str, Size], ...]:
    """Ask every flavour for bounds of the image's size; scripts all get the same ``IMAGE_SIZE``."""
    bounds = []
    given = given_gib(building.request.image_size)
    steps = building.prepared.plan.of(Phase.BLOCK_DEVICE_SIZE)
    for number, planned in enumerate(steps, start=1):
        with building.step(planned.phase, planned.step.id, planned.origin, number, len(steps), planned.step.summary):
            if isinstance(planned.step.action, Size):
                size = planned.step.action
            else:
                printed = run_on_host(building, planned, variables(building, planned))
                size = parse_script_output(
                    printed, given, where=(f"flavour: {planned.origin}", f"step: {planned.name}")
                )
                building.fact(f"size of {planned.origin.flavour} {planned.step.id}", f"{size.minimum} {size.maximum}")
            bounds.append((planned.origin, planned.step.id, size))
    return tuple(bounds)


def extra_data(building: Building) -> None:
    """Run what brings the caller's data; it is laid into the merged tree of every later step."""
    steps = building.prepared.plan.of(Phase.EXTRA_DATA)
    if not steps:
        return
    folder = building.folder / "extra"
    folder.mkdir(mode=0o755)
    for number, planned in enumerate(steps, start=1):
        with building.step(planned.phase, planned.step.id, planned.origin, number, len(steps), planned.step.summary):
            run_on_host(building, planned, {**variables(building, planned), "TMP_HOOKS_PATH": str(folder)})
    tidy_modes(folder)
    building.fact(EXTRA_DATA, digest_of(_described(folder)))


def _described(folder: Path) -> list[tuple[str, int, str]]:
    """Path, mode and digest or target of everything that was left, in order; links are not followed."""
    found = []
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content = str(path.readlink()) if stat.S_ISLNK(mode) else ""
        if stat.S_ISREG(mode):
            content = sha256_of(path)
        found.append((str(path.relative_to(folder)), mode, content))
    return sorted(found)
