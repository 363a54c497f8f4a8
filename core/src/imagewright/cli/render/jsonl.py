"""One JSON object per event and line; the first one carries the version of their schema."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from imagewright import events
from imagewright.cli.messages import SCHEMA

LONGEST = 30_000
"""Characters of an output line that are passed on; readers have bounded line buffers."""


class JsonMonitor:
    """Writes ``{"event": "step-started", "elapsed": 1.25, …}`` for every event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = time.monotonic()
        self._first = True

    def handle(self, event: events.Event) -> None:
        """Write the event's object."""
        self.write(name_of(event), fields_of(event))

    def write(self, name: str, fields: Mapping[str, object]) -> None:
        """Write an object with the event's name and the elapsed time in front of ``fields``."""
        head: dict[str, Any] = {"schema": SCHEMA} if self._first else {}
        self._first = False
        head |= {"event": name, "elapsed": round(time.monotonic() - self._begun, 3)}
        self._stream.write(json.dumps(head | {name: _plain(value) for name, value in fields.items()}) + "\n")
        self._stream.flush()


def fields_of(event: events.Event) -> dict[str, object]:
    """What an event says, by name."""
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}


def name_of(event: events.Event) -> str:
    """``step-started`` for a StepStarted."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(event).__name__).lower()


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
