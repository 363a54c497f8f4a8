"""The identifiers of disks and partitions that a script of the phase block-device knows, so that they stay."""

from __future__ import annotations

from collections.abc import Iterator

from imagewright.building.staging.environment import variables
from imagewright.building.state import Building
from imagewright.disk.identifiers import identifiers_in
from imagewright.plan import PlannedStep
from imagewright.planning.keys import merged_hooks


def identifiers_known(building: Building, planned: PlannedStep) -> Iterator[str]:
    """Those that stand in its own files, in what extra-data wrote, and in its variables."""
    for entry in merged_hooks(building.prepared.plan, planned.origin.flavour).entries:
        if entry.kind == "file":
            yield from identifiers_in(entry.read())
    extra = building.folder / "extra"
    for path in extra.rglob("*") if extra.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            yield from identifiers_in(path.read_bytes())
    for value in variables(building, planned).values():
        yield from identifiers_in(value.encode())
