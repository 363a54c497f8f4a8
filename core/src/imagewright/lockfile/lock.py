"""A lock file as a value: TOML, sorted, one package a line, so that two of them differ in lines that say something."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagewright.documents import parse_toml
from imagewright.errors import UsageError
from imagewright.types import Package

SCHEMA = 1
"""The version of the form; a removed or changed key raises it."""

_HEAD = (
    "# The versions that an image was made of. --lock with this file builds from them, --refresh besides renews it.\n"
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"(?!sha256:)(\S+)(?: sha256:([0-9a-f]{64}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a lock file says.

    ``epoch`` is SOURCE_DATE_EPOCH in seconds; ``epoch_given`` whether the caller had set it. ``flavours`` holds the
    distribution, version and digest of each flavour; ``bases`` the facts that identify what the first tree was made of;
    ``packages`` every package of the finished tree, sorted, with the SHA-256 of its archive where that is known.
    """

    imagewright: str
    operating_system: str
    release: str
    arch: str
    epoch: int
    epoch_given: bool = False
    flavours: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[Package, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 hex digest of the file."""
        return hashlib.sha256(text_of(self).encode()).hexdigest()


def name_of(package: Package) -> str:
    """``curl:amd64``; without an architecture the name alone."""
    return f"{package.name}:{package.architecture}" if package.architecture else package.name


def text_of(lock: Lock) -> str:
    """The file's text."""
    source = [("source_date_epoch", str(lock.epoch))]
    if lock.epoch_given:
        source.append(("source_date_epoch_given", "true"))
    head = [("schema", str(SCHEMA)), ("imagewright", _quoted(lock.imagewright)), *source]
    tables = {
        "image": {"arch": lock.arch, "operating_system": lock.operating_system, "release": lock.release},
        "flavours": lock.flavours,
        "bases": lock.bases,
        "packages": {name_of(one): f"{one.version} sha256:{one.digest}" if one.digest else one.version
                     for one in lock.packages},
    }  # fmt: skip
    text = _HEAD + "".join(f"{name} = {value}\n" for name, value in head)
    for name, table in tables.items():
        text += f"\n[{name}]\n"
        text += "".join(f"{_key(key)} = {_quoted(value)}\n" for key, value in sorted(table.items()))
    return text


def read_lock(path: Path) -> Lock:
    """The lock in a file. Raises UsageError if it cannot be read, or is none."""
    try:
        document = parse_toml(path.read_bytes())
    except (OSError, ValueError) as error:
        cause = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        raise _bad(path, cause, ours=False) from error
    if "schema" not in document:
        raise _bad(path, "it is no lock file of Imagewright", ours=False)
    if document["schema"] != SCHEMA:
        raise _bad(path, f"it has the form {document['schema']!r}, and this version reads {SCHEMA}")
    try:
        image = document["image"]
        return Lock(
            imagewright=_text(document["imagewright"]),
            operating_system=_text(image["operating_system"]),
            release=_text(image["release"]),
            arch=_text(image["arch"]),
            epoch=int(document["source_date_epoch"]),
            epoch_given=bool(document.get("source_date_epoch_given", False)),
            flavours={name: _text(value) for name, value in document["flavours"].items()},
            bases={name: _text(value) for name, value in document["bases"].items()},
            packages=tuple(_package(name, _text(value)) for name, value in sorted(document["packages"].items())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise _bad(path, what) from error


def _bad(path: Path, cause: str, *, ours: bool = True) -> UsageError:
    # whoever named a file that is no lock must not be told to replace it
    return UsageError(
        "lock-unreadable",
        f"the lock file {path} cannot be read",
        cause=cause,
        hint="--refresh writes it anew" if ours else "name another file with --lock, or remove this one",
        option="lock",
    )


def _package(key: str, value: str) -> Package:
    name, _, architecture = key.partition(":")
    found = _VERSION.fullmatch(value)
    if not name or found is None:
        raise ValueError(f"the package {key} has no version and digest, but {value!r}")
    return Package(name=name, version=found[1], architecture=architecture, digest=found[2] or "")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    # a basic string of TOML; JSON escapes all that it must but DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
