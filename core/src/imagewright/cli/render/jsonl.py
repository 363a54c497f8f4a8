"""One JSON object per event and line; the first one carries the version of their schema."""

from __future__ import annotations

import dataclasses
import json
import re
import time
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
        head: dict[str, Any] = {"schema": SCHEMA} if self._first else {}
        self._first = False
        head |= {"event": name_of(event), "elapsed": round(time.monotonic() - self._begun, 3)}
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        self._stream.write(json.dumps(head | {name: _plain(value) for name, value in fields.items()}) + "\n")
        self._stream.flush()


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
