"""The manifest beside an image: what was built, from what, with what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagewright import __version__
from imagewright.building.artefacts import Artefact
from imagewright.building.locked import lock_digest
from imagewright.building.state import Building
from imagewright.planning.display import plan_document, without_places
from imagewright.types import Package

SCHEMA = 1
"""The version of the manifest's form; a removed or changed key raises it."""


def manifest_of(
    building: Building,
    *,
    version: str,
    size: int,
    slate: Mapping[str, Any],
    disk: Mapping[str, Any],
    packages: Sequence[Package],
    artefacts: Sequence[Artefact],
) -> dict[str, Any]:
    """Describe the build. Sizes are bytes, digests SHA-256."""
    return {
        "schema": SCHEMA,
        "imagewright": __version__,
        "image": {"id": building.prepared.context.image_name, "version": version, "size": size},
        "plan": without_places(plan_document(building.prepared)),
        "facts": dict(building.facts),
        "source_date_epoch": building.epoch,
        "kernel": building.kernel,
        **lock_digest(building.lock),
        "blank_slate": dict(slate),
        "disk": dict(disk),
        "packages": [
            {"name": package.name, "version": package.version, "architecture": package.architecture}
            for package in sorted(packages, key=lambda package: (package.name, package.architecture))
        ],
        "artefacts": [
            {"file": one.path.name, "size": one.path.stat().st_size, "sha256": one.sha256} for one in artefacts
        ],
    }


def write_manifest(document: Mapping[str, Any], path: Path) -> None:
    """Write the manifest as JSON, the same bytes for the same document."""
    path.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_sums(artefacts: Sequence[Artefact], path: Path) -> None:
    """Write SHA-256 sums in the form that ``sha256sum -c`` reads."""
    path.write_text("".join(sum_line(one) for one in artefacts))


def sum_line(artefact: Artefact) -> str:
    """The line of one file; a backslash in front says that the name has escapes, as sha256sum writes it."""
    name = artefact.path.name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if name == artefact.path.name else chr(92)}{artefact.sha256}  {name}\n"
