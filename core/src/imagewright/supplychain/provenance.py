"""Where an image comes from, as an in-toto statement (v1) with the predicate of SLSA provenance (v1).

It holds no time of day, no host and no user: the same build gives the same bytes. The level of SLSA that it supports is
that of who runs the build and keeps the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagewright.supplychain.inventory import Inventory

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:imagewright:build:v1"
"""The type of build: ``externalParameters`` is what was asked for, ``internalParameters`` what the plan made of it."""

BUILDER = "urn:imagewright:builder:local"


def statement_of(
    manifest: Mapping[str, Any], inventory: Inventory, subjects: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """The statement about files (name, SHA-256) that the manifest describes."""
    plan = manifest["plan"]
    flavours = plan.get("flavours", [])
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "flavours": [{"name": one["name"], "parameters": one["parameters"]} for one in flavours],
                    "architecture": plan.get("arch", ""),
                    "release": plan.get("release", ""),
                    "packages": [one["name"] for one in plan.get("packages", [])],
                    "skipped": list(plan.get("skipped", [])),
                },
                "internalParameters": {
                    "plan": plan.get("digest", ""),
                    "facts": dict(manifest["facts"]),
                    "source_date_epoch": manifest["source_date_epoch"],
                },
                "resolvedDependencies": [*_distributions(flavours), *_packages(inventory), *_fetched(manifest)],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"imagewright": manifest["imagewright"], **_tools(manifest)}},
                "byproducts": [],
            },
        },
    }


def _distributions(flavours: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The distributions that brought the flavours, each once."""
    from packageurl import PackageURL

    found = {(one["distribution"], one["version"]) for one in flavours if one["distribution"]}
    return [
        {"uri": PackageURL("pypi", None, name, version).to_string(), "name": name} for name, version in sorted(found)
    ]


def _packages(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {"uri": item.purl, "name": item.name, **({"digest": {"sha256": item.digest}} if item.digest else {})}
        for item in inventory.items
    ]


def _fetched(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The base image, where the tree was made from one."""
    facts = manifest["facts"]
    digest = str(facts.get("base image", "")).removeprefix("sha256:")
    address = str(facts.get("base image from", ""))
    return [{"uri": address, "name": Path(address).name, "digest": {"sha256": digest}}] if digest and address else []


def _tools(manifest: Mapping[str, Any]) -> dict[str, str]:
    return dict(sorted(manifest.get("disk", {}).get("tools", {}).items()))
