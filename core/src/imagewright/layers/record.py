"""What is written beside a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from imagewright.documents import parse_json

NAME = "layer.json"
SCHEMA = 2
"""The version of the record's form; layers of another one are not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """Who made a layer from what, and what a build that finds it must know.

    ``identity`` is new for every layer made, ``parent`` that of the layer below: a layer is only used on top of the one
    that it was made on. ``facts`` are those that the step found, ``epoch`` and ``kernel`` what they were after it.
    ``made`` is in seconds since 1970, ``size`` in bytes on the disk, ``boot`` names the run of the kernel.
    """

    key: str
    identity: str
    parent: str
    step: str
    flavour: str
    distribution: str
    epoch: int
    made: float
    boot: str
    entries: int
    size: int
    light: str
    full: str
    kernel: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n")


def read(path: Path) -> LayerRecord | None:
    """The record at ``path``; None if there is none that can be used."""
    try:
        document: Any = parse_json(path.read_bytes())
        if not isinstance(document, dict) or document.pop("schema") != SCHEMA:
            return None
        record = LayerRecord(**document)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    numbers = ("epoch", "made", "entries", "size")
    for one in fields(LayerRecord):
        value = getattr(record, one.name)
        wanted: tuple[type, ...] = (int, float) if one.name in numbers else (dict,) if one.name == "facts" else (str,)
        if not isinstance(value, wanted):
            return None
    return record
