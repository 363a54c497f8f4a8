"""Whether a ramdisk is a blank slate: the same rules as for images, on the files of its archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagewright.blankslate.marks import Marks
from imagewright.building.state import Building
from imagewright.building.tree.slate import Brought, Judge, caller_marks, marks_of_build
from imagewright.events import Monitor, Output
from imagewright.planning.ramdisks import PlannedRamdisk
from imagewright.request import RamdiskRequest


def ramdisk_marks(request: RamdiskRequest, planned: PlannedRamdisk, building: Building | None) -> Marks:
    """What no file of the ramdisk may hold; ``building`` is the build of its root tree, if it has one."""
    if building is not None:
        return marks_of_build(building)
    return caller_marks(request.image, (planned.name, *(flavour.name for flavour in planned.flavours)))


def judged_ramdisk(
    found: Sequence[Mapping[str, Any]],
    request: RamdiskRequest,
    planned: PlannedRamdisk,
    building: Building | None,
    monitor: Monitor,
    log: Path,
) -> dict[str, Any]:
    """What the manifest says; ``found`` is the report's list ``slate``. Raises StepFailed for what nobody allows."""
    judge = Judge(
        flavours=planned.flavours,
        allow=request.image.allow,
        masked=building.masked if building else str,
        output=lambda line: monitor.handle(Output(line=line)),
        log=log,
    )
    names = {flavour.name for flavour in planned.flavours}
    return judge.judged(
        [
            Brought(
                rule=one["rule"],
                path=one["path"],
                value=one["value"],
                giver=one["from"],
                writers=frozenset({one["from"], *one["asked_by"]} & names),
                common=one["from"] not in names,
            )
            for one in found
        ]
    )
