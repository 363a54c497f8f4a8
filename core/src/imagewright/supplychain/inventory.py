"""What is in an image, as a bill of materials counts it: taken from the manifest and from a look into the tree."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAMESPACE = uuid.UUID("8b0f9d5e-6f0a-5c53-9d7a-1f6f0b6f2f51")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A package: its package URL (purl-spec), and its licences as its own copyright file names them."""

    name: str
    version: str
    architecture: str
    purl: str
    digest: str = ""  # SHA-256 of its archive, where it is known
    licences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """An image or a ramdisk with its packages; ``files`` are its artefacts with their SHA-256 digests.

    ``serial`` depends on nothing but what is described; ``moment`` is SOURCE_DATE_EPOCH.
    """

    name: str
    version: str
    serial: uuid.UUID
    moment: int
    made_by: str
    system: str
    system_version: str
    files: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]


def inventory_of(manifest: Mapping[str, Any], system: Mapping[str, Any]) -> Inventory:
    """Count what a manifest lists; ``system`` is what :func:`imagewright.supplychain.looking.look` found."""
    subject = manifest.get("image") or manifest["ramdisk"]
    name = str(subject.get("id") or subject.get("name"))
    version = str(subject.get("version") or "") or manifest["artefacts"][0]["sha256"][:12]
    files = tuple((str(one["file"]), str(one["sha256"])) for one in manifest["artefacts"])
    licences = system.get("licences", {})
    return Inventory(
        name=name,
        version=version,
        serial=uuid.uuid5(_NAMESPACE, repr(files)),
        moment=int(manifest["source_date_epoch"]),
        made_by=str(manifest["imagewright"]),
        system=str(system.get("id", "")),
        system_version=str(system.get("version", "")),
        files=files,
        items=tuple(_item(package, system, licences.get(package["name"], ())) for package in manifest["packages"]),
    )


def _item(package: Mapping[str, Any], system: Mapping[str, Any], licences: Sequence[str]) -> Item:
    return Item(
        name=package["name"],
        version=package["version"],
        architecture=package["architecture"],
        purl=purl_of(package, system),
        digest=str(package.get("sha256") or ""),
        licences=tuple(licences),
    )


def purl_of(package: Mapping[str, Any], system: Mapping[str, Any]) -> str:
    """The package URL of a package of the tree: ``pkg:deb/debian/adduser@3.152?arch=all&distro=debian-13``."""
    from packageurl import PackageURL

    name, version, architecture = package["name"], package["version"], package["architecture"]
    qualifiers = {"arch": architecture} if architecture else {}
    distribution = str(system.get("id", ""))
    if "debian" not in (distribution, *system.get("like", ())):
        return str(PackageURL("generic", distribution or None, name, version, qualifiers).to_string())
    release = str(system.get("version", ""))
    qualifiers["distro"] = f"{distribution}-{release}" if release else distribution
    return str(PackageURL("deb", distribution, name, version, qualifiers).to_string())
