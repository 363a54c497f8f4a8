"""Layers of steps that depend on what they read alone: taken over while nothing of that has changed.

The record beside such a layer says on which layers the step ran and what it opened. Where those layers are still kept,
they are compared with those of the present tree.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from imagewright.building.state import Building
from imagewright.building.steps.running import RECORD
from imagewright.layers import locks, reads, record
from imagewright.layers.reads import Reads
from imagewright.layers.record import LayerRecord
from imagewright.layers.store import TREE, Store, whole
from imagewright.sandbox.jobs import KEPT, WORK, PythonJob

MOST_COMPARED = 3
"""Layers of one step that are compared at most: more would soon cost what the step does."""

Below = Sequence[tuple[str, str]]
"""The key and the identity of each layer of a tree, bottom first."""


class Reusing:
    """What one build takes over from the folder of kept layers, and what it leaves there for later ones."""

    def __init__(self, building: Building, store: Store) -> None:
        self._building = building
        self._store = store

    def take(self, question: str, below: Below, name: str) -> tuple[LayerRecord, Reads] | None:
        """Copy a layer that answers ``question`` into the folder ``name`` of the work folder's layers.

        Its record and what is to lie beside the copy; None if there is none for the layers ``below``, and why is said.
        """
        why = ""
        for folder, found in islice(reads.answering(self._store.folder, question), MOST_COMPARED):
            with ExitStack() as held:
                made = self._hold(held, folder)
                if made is None or not self._stands(held, found, below):
                    continue
                differs = self._difference(made, found, below)
                if differs:
                    why = why or differs
                elif self._copy(made, name):
                    self._building.output("kept: nothing that it read has changed")
                    return made, Reads(question=question, below=tuple(below), opened=found.opened, listed=found.listed)
        if why:
            self._building.output(f"runs: {why if why.isprintable() else why.encode('unicode_escape').decode()}")
        return None

    def write(self, question: str, below: Below, layer: Path) -> None:
        """Lay the record of what the step opened that just ran beside what it made, in the folder ``layer``."""
        found = reads.seen(self._building.folder / RECORD)
        if isinstance(found, str):
            self._building.output(f"what it read is not known, so that it runs again whatever changes: {found}")
            return
        opened, listed = found
        try:
            Reads(question=question, below=tuple(below), opened=opened, listed=listed).write(layer / reads.NAME)
        except OSError as error:
            self._building.output(f"what it read is not kept, so that it runs again whatever changes: {error.strerror}")

    # -- inner parts

    def _hold(self, held: ExitStack, folder: Path, identity: str | None = None) -> LayerRecord | None:
        """The record of a layer that nobody removes meanwhile; None if there is none that can be used."""
        descriptor = locks.share(folder)
        if descriptor is None:
            return None
        held.callback(os.close, descriptor)
        found = record.read(folder / record.NAME)
        if found is None or found.key != folder.name or identity not in (None, found.identity):
            return None
        return found if whole(folder, found) else None

    def _stands(self, held: ExitStack, found: Reads, below: Below) -> bool:
        """Whether the layers that a step ran on are still there and sound, but for those that this build found so."""
        for key, identity in found.below:
            if (key, identity) in below:
                continue
            layer = self._hold(held, self._store.folder / key, identity)
            if layer is None or self._call("light", path=_kept(key)) != layer.light:
                return False
        return True

    def _difference(self, made: LayerRecord, found: Reads, below: Below) -> str:
        """What differs that can matter; also where the layers cannot be compared."""
        job = PythonJob(
            function="imagewright.layers.stacks:difference",
            arguments={
                "before": [_kept(key) for key, _identity in found.below],
                "after": [_kept(key) for key, _identity in below],
                "layer": _kept(made.key),
                "opened": found.opened,
                "listed": found.listed,
                "epoch": self._building.epoch,
            },
        )
        try:
            return str(self._building.sandbox.call(job, self._building.output))
        except OSError as error:
            return f"the layers cannot be compared: {error.strerror}"

    def _copy(self, made: LayerRecord, name: str) -> bool:
        """Whether the copy is what was written down when the layer was made, in every content and attribute."""
        layer = self._building.folder / "layers" / name
        layer.mkdir()
        try:
            self._building.sandbox.own(layer)
            copy = self._call("copied", source=_kept(made.key), path=f"{WORK}/layers/{name}/{TREE}")
        except OSError:
            copy = None
        if isinstance(copy, dict) and copy["full"] == made.full:
            return True
        self._building.sandbox.remove(layer)
        return False

    def _call(self, function: str, **arguments: object) -> object:
        job = PythonJob(function=f"imagewright.layers.content:{function}", arguments=arguments)
        return self._building.sandbox.call(job, self._building.output)


def _kept(key: str) -> str:
    return f"{KEPT}/{key}/{TREE}"
