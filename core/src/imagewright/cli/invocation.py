"""What a command's body is given, and what it tells the error boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagewright.cli.resolve import Values


@dataclass(slots=True)
class Screen:
    """How the error boundary shows a failure; a command fills it in as soon as it knows.

    ``log`` is the file that takes the traceback of an unexpected error.
    """

    json: bool = False
    debug: bool = False
    log: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of a command: its options, its arguments, and the caller's environment."""

    program: str
    values: Values
    arguments: Mapping[str, Any]
    environment: Mapping[str, str]
    screen: Screen = field(default_factory=Screen)
