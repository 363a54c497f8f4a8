"""What serves the build stays out of the layers, even where a step changed its mode or owner.

The lowest layer never reaches the image, but a step that changes modes of all of /etc copies its files up into its own
layer: the builder's proxy, and the script that keeps services from starting. Such copies are taken out again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from imagewright.building.state import Building
from imagewright.sandbox.jobs import TARGET, PythonJob, Stack

RESOLVER = "etc/resolv.conf"
"""What a step may well write with the same content as the host has: only a copy has the same time too."""


def take_out_tools(building: Building, layer: str) -> None:
    """Remove from the layer that a step wrote what it only copied up from the lowest one."""
    below = building.stack(tools=False).lower
    upper = building.folder / "layers" / layer
    held = {path: _mark(path, source) for path, source in _tools(building) if os.path.lexists(upper / path)}
    if not held:
        return
    stack = Stack(lower=(layer, *below))
    found = _ask(building, "copies_of", {"files": held}, stack)
    if found:
        folders = sorted({str(folder) for path in found for folder in Path(path).parents}, key=len, reverse=True)
        there = _ask(building, "folders_among", {"paths": folders}, Stack(lower=below)) if below else []
        arguments = {"files": found, "folders": [folder for folder in folders if folder not in there]}
        _ask(building, "remove_files", arguments, Stack(lower=below, upper=layer))


def _tools(building: Building) -> Iterator[tuple[str, Path]]:
    for name in building.tools:
        top = building.folder / "layers" / name
        for path in sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(top)), path


def _mark(path: str, source: Path) -> list[object]:
    """What tells a copy of a file: its SHA-256, and its time in nanoseconds where that counts, else 0."""
    time = source.stat().st_mtime_ns if path == RESOLVER else 0
    return [hashlib.sha256(source.read_bytes()).hexdigest(), time]


def _ask(building: Building, function: str, arguments: Mapping[str, object], stack: Stack) -> list[str]:
    job = PythonJob(
        function=f"imagewright.building.steps.inside:{function}", arguments={"target": TARGET, **arguments}, stack=stack
    )
    answer = building.sandbox.call(job, building.output)
    return [str(one) for one in answer] if isinstance(answer, list) else []
