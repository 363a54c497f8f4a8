"""What is known of one side of a comparison: an image with the manifest beside it, or a manifest alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagewright.comparing.booting import boot_facts
from imagewright.comparing.databases import packages_of
from imagewright.comparing.files import File, files_of
from imagewright.documents import parse_json
from imagewright.reading.blocks import Blocks
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import Image, open_image, readable

Facts = Mapping[str, str]

_MANIFEST = ".manifest.json"
_LARGEST = 2**26


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side tells.

    ``facts`` holds names with values by section: packages, flavours, build, boot, partitions, filesystems, and of a
    ramdisk executables. A section that is not there is not known, as are ``files`` of a manifest. ``blocks`` is the
    disk, None without one.
    """

    path: Path
    facts: Mapping[str, Facts]
    files: Mapping[str, File] | None = None
    blocks: Blocks | None = field(default=None, repr=False)
    parts: tuple[tuple[str, int, int], ...] = ()  # name, offset and size in bytes of each partition


@contextmanager
def opened(path: Path) -> Iterator[Side]:
    """One side, as long as its files are needed. Raises ImageUnreadable."""
    document = _document(path)
    if document is not None:
        yield Side(path=path, facts=_of_manifest(document, path))
        return
    with open_image(path) as image, readable(path):
        facts: dict[str, Facts] = {}
        beside = _beside(path)
        if beside is not None:
            facts |= {name: values for name, values in _of_manifest(beside, path).items() if name != "partitions"}
        files = files_of(image)
        facts["packages"] = packages_of(files) or facts.get("packages", {})
        facts["boot"] = boot_facts(image)
        disk = image.format != "tar"
        if disk:
            facts["partitions"] = _partitions(image)
            facts["filesystems"] = _filesystems(image)
        yield Side(
            path=path,
            facts=facts,
            files=files,
            blocks=image.blocks if disk else None,
            parts=tuple((one.name, one.partition.offset, one.partition.size) for one in image.volumes if one.partition),
        )


def _document(path: Path) -> dict[str, Any] | None:
    """The manifest in a file; None if it holds something else. Raises ImageUnreadable for a damaged one."""
    named = path.name.endswith(_MANIFEST)
    try:
        with path.open("rb") as file:
            if not named and file.read(1) != b"{":
                return None
            file.seek(0)
            content = file.read(_LARGEST)
    except OSError as error:
        raise ImageUnreadable(
            "image-damaged", f"{path} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    try:
        document = parse_json(content)
        if isinstance(document, dict) and isinstance(document.get("plan"), dict):
            return document
    except ValueError:
        pass
    if not named:
        return None
    raise ImageUnreadable("manifest-damaged", f"{path} is no manifest of Imagewright", hint="name the image itself")


def _beside(path: Path) -> dict[str, Any] | None:
    """The manifest that was written with an image, if it lies beside it and means these very bytes."""
    place = path.with_name(path.stem + _MANIFEST)
    try:
        document: Any = parse_json(place.read_bytes())
        stated = {one["file"]: (one["size"], one["sha256"]) for one in document["artefacts"]}
        size, digest = stated.get(path.name, (0, ""))
        if size != path.stat().st_size:
            return None
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == digest
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return document if same and isinstance(document, dict) else None


def _of_manifest(document: Mapping[str, Any], path: Path) -> dict[str, Facts]:
    try:
        return {
            "packages": {
                package_name(one["name"], one["architecture"]): one["version"] for one in document["packages"]
            },
            "flavours": {one["name"]: _flavour(one) for one in document["plan"]["flavours"]},
            "build": _build(document),
            **({"partitions": _disk(document["disk"])} if document.get("disk") else {}),
            **({"executables": _executables(document)} if "executables" in document else {}),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ImageUnreadable(
            "manifest-damaged", f"the manifest of {path} lacks what it should have: {error}"
        ) from error


def package_name(name: str, architecture: str) -> str:
    """``curl:amd64``; without an architecture the name alone."""
    return f"{name}:{architecture}" if architecture else name


def _flavour(one: Mapping[str, Any]) -> str:
    words = [f"{one['distribution']} {one['version']}".strip() or "a folder"]
    words += [f"{name}={value}" for name, value in sorted(one["parameters"].items())]
    return ", ".join(words)


def _build(document: Mapping[str, Any]) -> Facts:
    facts = {"imagewright": document["imagewright"], "date of the inputs": str(document["source_date_epoch"])}
    facts["plan"] = document["plan"]["digest"]
    facts |= {f"fact {name}": value for name, value in document["facts"].items()}
    kernel = document["kernel"]
    if kernel:
        facts["kernel"] = kernel if isinstance(kernel, str) else str(kernel.get("version", ""))
    return facts


def _executables(document: Mapping[str, Any]) -> Facts:
    """What a ramdisk holds and where it came from."""
    return {one["path"]: f"from {one['from']}, for {', '.join(one['asked_by'])}" for one in document["executables"]}


def _disk(disk: Mapping[str, Any]) -> Facts:
    facts = {"size": f"{disk['size']} bytes"}
    for one in disk["partitions"]:
        facts[f"partition {one['number']}"] = _partition(one["offset"], one["size"], one["type"], one["uuid"])
    return facts


def _partitions(image: Image) -> Facts:
    facts = {"size": f"{image.size} bytes"}
    for volume in image.volumes:
        if volume.partition is not None:
            one = volume.partition
            facts[volume.name] = _partition(one.offset, one.size, one.type, one.uuid)
    return facts


def _filesystems(image: Image) -> Facts:
    facts = {}
    for volume in image.volumes:
        for tree in volume.trees:
            words = [tree.type, tree.uuid and f"UUID {tree.uuid}", tree.label and f"label {tree.label}"]
            name = volume.name + (f" ({tree.subvolume})" if tree.subvolume else "")
            facts[name] = ", ".join(word for word in words if word)
    return facts


def _partition(offset: int, size: int, kind: str, uuid: str) -> str:
    return f"{size} bytes at {offset}, type {kind.lower()}, UUID {uuid.lower()}"
