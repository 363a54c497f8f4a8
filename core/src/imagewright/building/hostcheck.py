"""What can be known before any work: tools, namespaces, places to write, room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imagewright.discovery import load_output
from imagewright.disk.assembly import tools_needed
from imagewright.errors import HostError, ImagewrightError
from imagewright.hosttools import missing
from imagewright.planning import Prepared
from imagewright.request import Request
from imagewright.types import GIB, Layout, Partition, Phase

RESERVE = 64 * 2**20
"""Bytes that must be free for any build at all."""


def check_host(request: Request, prepared: Prepared, work: Path) -> None:
    """Raise HostError for the first thing that this host lacks for this plan."""
    needed: list[str] = ["tar", "cp"]
    for kind in request.types:
        needed.extend(load_output(kind).tools)
    if any(load_output(kind).needs == "raw" for kind in request.types):
        layout = layout_of(prepared)
        needed.extend(tools_needed(layout, layout.boot_loader if layout else ""))
    for flavour in prepared.plan.flavours:
        needed.extend(flavour.programs)
    absent = missing(tuple(dict.fromkeys(needed)))
    if absent:
        packages = " ".join(sorted({tool.package for tool in absent if tool.package}))
        raise HostError(
            "missing-tool",
            f"the host lacks {', '.join(tool.program for tool in absent)}",
            cause="the build needs it; nothing has been done yet",
            hint=f"sudo apt-get install {packages}" if packages else "imagewright doctor says what brings it",
        )
    check_room(prepared, work)
    check_writable(request.output)


def layout_of(prepared: Prepared) -> Layout | None:
    """The layout that a flavour declares, if one does, with the partitions that others add in front of the root."""
    actions = [planned.step.action for planned in prepared.plan.of(Phase.BLOCK_DEVICE)]
    layout = next((action for action in actions if isinstance(action, Layout)), None)
    if layout is None:
        return None
    added = [action for action in actions if isinstance(action, Partition)]
    root = next(number for number, partition in enumerate(layout.partitions) if partition.role == "root")
    return replace(layout, partitions=(*layout.partitions[:root], *added, *layout.partitions[root:]))


def check_room(prepared: Prepared, work: Path) -> None:
    """Raise HostError if the work folder's filesystem has too little room for what the flavours say they need."""
    needed = RESERVE + sum(flavour.disk_space for flavour in prepared.plan.flavours)
    existing = work
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise HostError(
            "too-little-space",
            f"the build needs {needed / GIB:.1f} GiB in the work folder, and {free / GIB:.1f} GiB are free",
            where=(f"folder: {work}",),
            hint="free some room, or name another place with --work-dir or --cache-dir",
        )


def check_writable(output: Path) -> None:
    """Raise HostError if no file can be made where the artefacts go."""
    folder = output.parent if str(output.parent) else Path()
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return
    cause = "you may not write there" if folder.is_dir() else "there is no such folder"
    raise HostError(
        "unwritable-output",
        f"the image cannot be written to {folder}",
        cause=cause,
        hint="name another file with --output, or make the folder",
    )


def explain_full_disk(error: OSError, places: Sequence[Path]) -> ImagewrightError | None:
    """The clear message for a full disk, or None if ``error`` is something else. ``places`` are looked at in turn."""
    import errno

    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    where = tuple(
        f"{place}: {shutil.disk_usage(place).free / 2**20:.0f} MiB free" for place in places if place.exists()
    )
    return HostError(
        "disk-full",
        "the disk is full",
        where=where,
        hint="free some room, or name other places with --work-dir, --cache-dir and --output",
    )
