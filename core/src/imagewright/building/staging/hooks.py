"""What a flavour gives its own steps: scripts and their data, as one folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from imagewright.building.staging.trees import tidy_modes, write_tree
from imagewright.building.state import Building
from imagewright.plan import PlannedStep
from imagewright.planning.keys import merged_hooks
from imagewright.types import Phase


def stage_hooks(building: Building, planned: PlannedStep, name: str) -> Path:
    """Write the merged tree that the step sees at ``/tmp/in_target.d``, owned by mapped root."""
    folder = building.folder / "hooks" / name
    write_tree(merged_hooks(building.prepared.plan, planned.origin.flavour), folder, planned.origin)
    extra = building.folder / "extra"
    # the tree's start and the one transaction see none of it, so that new data costs neither
    if extra.is_dir() and planned.phase not in (Phase.ROOT, Phase.PACKAGES):
        subprocess.run(["cp", "-a", f"{extra}/.", str(folder)], check=True)
        tidy_modes(folder)
    building.sandbox.own(folder)
    return folder
