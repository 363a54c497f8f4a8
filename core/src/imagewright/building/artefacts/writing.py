"""Writes the artefacts of a disk: those that come from the raw disk side by side, one process for each processor."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from imagewright.building.artefacts.files import Artefact, finished
from imagewright.building.artefacts.writer import answer, order
from imagewright.building.state import Building, Outcome
from imagewright.discovery import load_output
from imagewright.drivers import BuiltImage
from imagewright.errors import ImagewrightError
from imagewright.hosttools import search_path
from imagewright.plan import CORE
from imagewright.sandbox.jobs import TARGET, WORK, PythonJob


def write_artefacts(building: Building, image: BuiltImage, folder: Path) -> list[Artefact]:
    """Write ``image`` into ``folder`` as every type that is asked for; the artefacts by name.

    Raises the first driver's ImagewrightError, when none is at work any more.
    """
    kinds = _in_turn(building)
    ours = [kind for kind in kinds if load_output(kind).needs == "tar"]
    others = [kind for kind in kinds if kind not in ours]
    artefacts = []
    # one alone needs no process, and has all processors to itself
    for kind in kinds if len(others) < 2 else ours:
        driver = load_output(kind)
        with _step(building, kind):
            if driver.needs == "tar":
                _write_tar(building)
            driver.write(image, _place(building, kind, folder))
            artefacts.append(finished(_place(building, kind, folder)))
    if len(others) > 1:
        artefacts += _side_by_side(building, image, folder, others)
    return sorted(artefacts, key=lambda one: one.path.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    place: Path
    process: subprocess.Popen[bytes]
    step: AbstractContextManager[Outcome]

    @property
    def pipe(self) -> int:
        """The descriptor of what it answers."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()


def _side_by_side(building: Building, image: BuiltImage, folder: Path, kinds: Sequence[str]) -> list[Artefact]:
    waiting = list(kinds)
    running: list[_Writer] = []
    artefacts: list[Artefact] = []
    failure: ImagewrightError | None = None
    try:
        while running or (waiting and failure is None):
            # one reads while another one computes, on one processor too
            while waiting and failure is None and len(running) < max(2, len(os.sched_getaffinity(0))):
                running.append(_begun(building, image, folder, waiting.pop(0)))
            # a pipe ends with its writer
            ready = wait([writer.pipe for writer in running])
            for writer in [writer for writer in running if writer.pipe in ready]:
                text, _nothing = writer.process.communicate()
                running.remove(writer)
                try:
                    artefacts.append(Artefact(path=writer.place, sha256=answer(text, writer.process.returncode)))
                    writer.step.__exit__(None, None, None)
                except ImagewrightError as error:
                    writer.step.__exit__(type(error), error, error.__traceback__)
                    failure = failure or error
    finally:
        for writer in running:
            writer.process.kill()
            writer.process.communicate()
    if failure is not None:
        raise failure
    return artefacts


def _begun(building: Building, image: BuiltImage, folder: Path, kind: str) -> _Writer:
    place = _place(building, kind, folder)
    step = _step(building, kind)
    step.__enter__()
    process = subprocess.Popen(order(kind, image, place), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return _Writer(place=place, process=process, step=step)


def _in_turn(building: Building) -> list[str]:
    """The types that are asked for, in the order in which they are begun: the sandbox writes a tar, one at a time."""
    return sorted(building.request.types, key=lambda kind: (load_output(kind).needs != "tar", kind))


def _step(building: Building, kind: str) -> AbstractContextManager[Outcome]:
    kinds = _in_turn(building)
    return building.step("artefacts", kind, CORE, kinds.index(kind) + 1, len(kinds))


def _place(building: Building, kind: str, folder: Path) -> Path:
    return folder / f"{building.request.output.name}{load_output(kind).suffix}"


def _write_tar(building: Building) -> None:
    building.sandbox.call(
        PythonJob(
            function="imagewright.disk.archive:write_tar",
            arguments={"target": TARGET, "archive": f"{WORK}/tree.tar", "epoch": building.epoch},
            environment={"PATH": search_path(building.request.environment)},
            stack=building.stack(tools=False),
        ),
        building.output,
    )
