"""The manifest beside a ramdisk, and the plan of a ramdisk as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagewright import __version__
from imagewright.building.artefacts import Artefact
from imagewright.planning.display import plan_document
from imagewright.planning.ramdisks import PlannedRamdisk, PlannedTree
from imagewright.types import Package

SCHEMA = 1
"""The version of both forms; a removed or changed key raises it."""


def ramdisk_plan(planned: PlannedRamdisk) -> dict[str, Any]:
    """What the plan of a ramdisk says, as plain values that JSON can carry."""
    return {
        "schema": SCHEMA,
        "ramdisk": planned.name,
        "digest": planned.digest,
        "operating_system": planned.operating_system,
        "flavours": [
            {
                "name": one.name,
                "summary": one.summary,
                "distribution": one.origin.distribution,
                "version": one.origin.version,
                "place": one.origin.location,
                "requires": list(one.requires),
                "parameters": _values(one.values, planned.secrets),
            }
            for one in planned.flavours
        ],
        "packages": [{"name": name, "wanted_by": list(who)} for name, who in planned.packages.items()],
        "executables": [{"name": one.name, "flavour": who, "package": one.package} for one, who in planned.executables],
        "modules": [{"name": name, "flavour": who} for name, who in planned.modules],
        "files": [{"path": f"/{entry.path}", "flavour": who} for entry, who in planned.files],
        "init": [one.flavour for one in planned.fragments],
        "tree": _tree(planned.tree),
        "kernel_tree": _tree(planned.kernel_tree),
    }


def ramdisk_manifest(
    planned: PlannedRamdisk,
    report: Mapping[str, Any],
    *,
    facts: Mapping[str, str],
    moment: int,
    compression: str,
    packages: Sequence[Package],
    artefacts: Sequence[Artefact],
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
        "plan": ramdisk_plan(planned),
        "facts": dict(facts),
        "source_date_epoch": moment,
        "kernel": report["kernel"],
        "executables": report["executables"],
        "applets": report["applets"],
        "packages": [
            {"name": package.name, "version": package.version, "architecture": package.architecture}
            for package in sorted(packages, key=lambda package: (package.name, package.architecture))
        ],
        "artefacts": [
            {"file": one.path.name, "size": one.path.stat().st_size, "sha256": one.sha256} for one in artefacts
        ],
    }


def _tree(tree: PlannedTree | None) -> dict[str, Any] | None:
    return plan_document(tree.prepared) if tree is not None else None


def _values(values: Sequence[tuple[str, Any]], secrets: Sequence[str]) -> dict[str, Any]:
    return {name: "***" if isinstance(value, str) and value in secrets else value for name, value in values}
