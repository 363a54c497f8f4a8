"""Lays ready, in the work folder, what the flavours give for a ramdisk, and its ``/init``."""

from __future__ import annotations

from pathlib import Path

from imagewright.building.staging import write_tree
from imagewright.planning.ramdisks import PlannedRamdisk
from imagewright.ramdisk.initscript import Fragment, joined, shipped
from imagewright.types import Entry, Origin, Tree


def stage_given(planned: PlannedRamdisk, folder: Path, *, init_timeout: int) -> dict[str, str]:
    """Write ``/init`` and the files of flavours; return the path of each file with the flavour that gives it."""
    fragments = [
        Fragment(flavour=one.flavour, content=one.content, variables=one.variables) for one in planned.fragments
    ]
    text = joined(shipped(), fragments, {"INIT_TIMEOUT": str(init_timeout)})
    by_flavour: dict[str, list[Entry]] = {}
    for entry, flavour in planned.files:
        by_flavour.setdefault(flavour, []).append(entry)
    folder.mkdir(mode=0o755)
    for flavour, entries in by_flavour.items():
        write_tree(Tree(tuple(entries)), folder, Origin(flavour=flavour))
    write_tree(Tree((Entry(path="init", mode=0o755, content=text.encode()),)), folder, Origin(flavour="imagewright"))
    return {entry.path: flavour for entry, flavour in planned.files}
