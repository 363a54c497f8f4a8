"""The manifest beside an image: what was built, from what, with what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagewright import __version__
from imagewright.building.artefacts import sha256_of
from imagewright.building.state import Building
from imagewright.planning.display import plan_document
from imagewright.types import Package

SCHEMA = 1
"""The version of the manifest's form; a removed or changed key raises it."""


def manifest_of(
    building: Building,
    *,
    version: str,
    size: int,
    disk: Mapping[str, Any],
    packages: Sequence[Package],
    artefacts: Sequence[tuple[str, Path]],
) -> dict[str, Any]:
    """Describe the build; ``artefacts`` are (file name, finished file). Sizes are bytes, digests SHA-256."""
    return {
        "schema": SCHEMA,
        "imagewright": __version__,
        "image": {"id": building.prepared.context.image_name, "version": version, "size": size},
        "plan": plan_document(building.prepared),
        "facts": dict(building.facts),
        "source_date_epoch": building.epoch,
        "kernel": building.kernel,
        "disk": dict(disk),
        "packages": [
            {"name": package.name, "version": package.version, "architecture": package.architecture}
            for package in sorted(packages, key=lambda package: (package.name, package.architecture))
        ],
        "artefacts": [
            {"file": name, "size": path.stat().st_size, "sha256": sha256_of(path)} for name, path in artefacts
        ],
    }


def write_manifest(document: Mapping[str, Any], path: Path) -> None:
    """Write the manifest as JSON, the same bytes for the same document."""
    path.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_sums(artefacts: Sequence[tuple[str, Path]], path: Path) -> None:
    """Write SHA-256 sums in the form that ``sha256sum -c`` reads."""
    path.write_text("".join(f"{sha256_of(file)}  {name}\n" for name, file in artefacts))
