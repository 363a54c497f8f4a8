"""Where a ramdisk is made: the work folder and sandbox of its tree's build, or a folder alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagewright.building import preloads
from imagewright.building.host.checks import check_host, source_date_epoch
from imagewright.building.host.workfolder import plain_folder
from imagewright.building.packages.locked import asking
from imagewright.building.state import EARLIEST, Building
from imagewright.building.tree.growing import opened, work_parent
from imagewright.events import Monitor
from imagewright.planning.ramdisks import PlannedRamdisk, PlannedTree
from imagewright.ramdisk import making
from imagewright.ramdisk.making import Recipe
from imagewright.request import RamdiskRequest
from imagewright.sandbox.jobs import WORK, PythonJob
from imagewright.sandbox.starting import Launcher

TREE = "tree"
"""What the manifest calls the root tree."""

SUFFIX = ".ramdisk"
"""What the name of a ramdisk may end in; the kernel's ends in ``.kernel`` instead."""


@dataclass(slots=True, kw_only=True)
class Shop:
    """Where a ramdisk is made: the work folder of its tree's build, or a folder alone."""

    request: RamdiskRequest
    planned: PlannedRamdisk
    monitor: Monitor
    log: Path
    folder: Path
    umask: int
    epoch: int
    building: Building | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def inside(self, name: str) -> str:
        """The path of something in the work folder, for who makes the ramdisk."""
        return f"{WORK}/{name}" if self.building else str(self.folder / name)

    @property
    def modules(self) -> tuple[tuple[str, str, bool], ...]:
        """The kernel modules that are asked for: name, who asks, whether it may be missing."""
        return tuple((name, who, False) for name, who in self.planned.modules)

    def ready(self, name: str) -> None:
        """Let the sandbox read what was laid ready."""
        if self.building:
            self.building.sandbox.own(self.folder / name)

    def make(self, recipe: Recipe) -> dict[str, Any]:
        """Make the ramdisk; the report. Raises ImagewrightError."""
        if self.building is None:
            return making.make(recipe=recipe.document())
        job = PythonJob(
            function="imagewright.ramdisk.making:make",
            arguments={"recipe": recipe.document()},
            stack=self.building.stack(tools=False),
            network=False,
        )
        result = self.building.sandbox.call(job, self.building.output)
        assert isinstance(result, dict)
        return result


@contextmanager
def open_shop(
    request: RamdiskRequest, planned: PlannedRamdisk, monitor: Monitor, log: Path, launcher: Launcher | None = None
) -> Iterator[Shop]:
    """Open the work folder of a ramdisk, with the sandbox of its tree if it has one; both are gone at the end.

    ``launcher`` is the sandbox's, if it was started ahead. Raises ImagewrightError.
    """
    if planned.tree is not None:
        with opened_tree(planned.tree, monitor, log, launcher) as building:
            yield Shop(
                request=request,
                planned=planned,
                monitor=monitor,
                log=log,
                folder=building.folder,
                umask=building.umask,
                epoch=building.epoch,
                building=building,
            )
        return
    epoch = source_date_epoch(request.image.environment)
    umask = os.umask(0o022)
    try:
        with plain_folder(work_parent(request.image)) as folder:
            yield Shop(
                request=request,
                planned=planned,
                monitor=monitor,
                log=log,
                folder=folder,
                umask=umask,
                epoch=EARLIEST if epoch is None else epoch,
            )
    finally:
        os.umask(umask)


@contextmanager
def opened_tree(tree: PlannedTree, monitor: Monitor, log: Path, launcher: Launcher | None = None) -> Iterator[Building]:
    """Look at the host, and open the build of a tree as :func:`imagewright.building.tree.growing.opened` does."""
    request = asking(tree.request, tree.prepared)
    check_host(request, tree.prepared, work_parent(request))
    with opened(request, tree.prepared, monitor, log=log, preload=preloads.RAMDISK, launcher=launcher) as building:
        yield building


def stem_of(output: Path) -> str:
    """What the names of the files beside the ramdisk begin with."""
    return output.name.removesuffix(SUFFIX) or output.name
