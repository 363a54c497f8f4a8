"""The manifest beside a ramdisk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagewright import __version__
from imagewright.building.artefacts.files import Artefact
from imagewright.building.artefacts.manifest import listed, lock_digest
from imagewright.lockfile.lock import Lock
from imagewright.planning.display import without_places
from imagewright.planning.ramdisks import PlannedRamdisk, ramdisk_plan
from imagewright.types import Package

SCHEMA = 1
"""The version of the manifest's form; a removed or changed key raises it."""


def ramdisk_manifest(
    planned: PlannedRamdisk,
    report: Mapping[str, Any],
    *,
    slate: Mapping[str, Any],
    facts: Mapping[str, str],
    moment: int,
    compression: str,
    packages: Sequence[Package],
    artefacts: Sequence[Artefact],
    lock: Lock | None = None,
) -> dict[str, Any]:
    """Describe a finished ramdisk. Sizes are bytes, digests SHA-256."""
    return {
        "schema": SCHEMA,
        "imagewright": __version__,
        "ramdisk": {
            "name": planned.name,
            "files": report["files"],
            "size": report["bytes"],
            "compression": compression,
            "udev": report["udev"],
        },
        "plan": without_places(ramdisk_plan(planned)),
        "facts": dict(facts),
        "source_date_epoch": moment,
        "kernel": report["kernel"],
        **lock_digest(lock),
        "blank_slate": dict(slate),
        "executables": report["executables"],
        "applets": report["applets"],
        "packages": listed(packages, lock),
        "artefacts": [
            {"file": one.path.name, "size": one.path.stat().st_size, "sha256": one.sha256} for one in artefacts
        ],
    }
