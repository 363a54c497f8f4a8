"""The manifest beside an image: what was built, from what, with what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagewright import __version__
from imagewright.building.artefacts.files import Artefact
from imagewright.building.state import Building
from imagewright.lockfile.lock import Lock
from imagewright.planning.display import plan_document, without_places
from imagewright.request import Request
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
        "request": asked(building.request),
        "image": {"id": building.prepared.context.image_name, "version": version, "size": size},
        "plan": without_places(plan_document(building.prepared)),
        "facts": dict(building.facts),
        "source_date_epoch": building.epoch,
        "kernel": building.kernel,
        **lock_digest(building.lock),
        "blank_slate": dict(slate),
        "disk": dict(disk),
        "packages": listed(packages, building.lock),
        "artefacts": [
            {"file": one.path.name, "size": one.path.stat().st_size, "sha256": one.sha256} for one in artefacts
        ],
    }


def asked(request: Request) -> dict[str, Any]:
    """What was asked for besides flavours, parameters and packages, which the plan has; no path and no address."""
    return {
        "types": sorted(request.types),
        "image_size": request.image_size,
        "root_label": request.root_label,
        "fs_type": request.fs_type,
        "kernel_arguments": request.kernel_arguments,
        "skip_base": request.skip_base,
        "for_publishing": request.for_publishing,
        "allow": list(request.allow),
    }


def lock_digest(lock: Lock | None) -> dict[str, str]:
    """What a manifest says of the lock: its SHA-256; nothing without one."""
    return {"lock": lock.digest} if lock is not None else {}


def listed(packages: Sequence[Package], lock: Lock | None) -> list[dict[str, str]]:
    """The packages of a tree, each with the digest of its archive if the lock has that."""
    digests = {(one.name, one.version, one.architecture): one.digest for one in (lock.packages if lock else ())}
    found = []
    for package in sorted(packages, key=lambda package: (package.name, package.architecture)):
        digest = digests.get((package.name, package.version, package.architecture), "")
        one = {"name": package.name, "version": package.version, "architecture": package.architecture}
        found.append(one | ({"sha256": digest} if digest else {}))
    return found


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
