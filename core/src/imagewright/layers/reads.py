"""What is written beside a layer whose step says that it depends only on what it reads in the tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagewright.documents import parse_json

NAME = "reads.json"
SCHEMA = 1
"""The version of the record's form; those of another one are not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What a step read, and on which layers.

    ``question`` digests all that its layer depends on besides the tree. ``below`` holds the key and the identity of
    each layer that it ran on, bottom first. ``opened`` are files and ``listed`` folders, as paths relative to the tree.
    """

    question: str
    below: tuple[tuple[str, str], ...]
    opened: tuple[str, ...]
    listed: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write it as JSON with its own digest. Raises OSError."""
        document = asdict(self)
        path.write_text(json.dumps({"schema": SCHEMA, "digest": _digest(document), **document}) + "\n")


def read(path: Path) -> Reads | None:
    """The record at ``path``; None if there is none that can be used."""
    try:
        document: Any = parse_json(path.read_bytes())
        if document.pop("schema") != SCHEMA or document.pop("digest") != _digest(document):
            return None
        return Reads(
            question=str(document["question"]),
            below=tuple((str(key), str(identity)) for key, identity in document["below"]),
            opened=tuple(map(str, document["opened"])),
            listed=tuple(map(str, document["listed"])),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def answering(folder: Path, question: str) -> Iterator[tuple[Path, Reads]]:
    """The layers of one folder of the store whose records have that question, the last used first."""
    places = []
    for path in folder.glob(f"*/{NAME}"):
        try:
            places.append(((path.parent / "layer.json").stat().st_mtime, path))
        except OSError:  # somebody removes it
            continue
    for _used, path in sorted(places, reverse=True):
        found = read(path)
        if found is not None and found.question == question:
            yield path.parent, found


def seen(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]] | str:
    """What a job opened and listed, by the file that its watch wrote; or why not.

    The file is that of :class:`imagewright.sandbox.launcher.watching.Watch`.
    """
    try:
        document: Any = parse_json(path.read_bytes())
        if document["spoiled"]:
            return str(document["spoiled"])
        return tuple(map(str, document["opened"])), tuple(map(str, document["listed"]))
    except (OSError, ValueError, TypeError, KeyError):
        return "the record of what it opened is not whole"


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
