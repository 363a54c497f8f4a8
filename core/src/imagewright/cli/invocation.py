"""What the body of a command is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from imagewright.cli.options.resolve import Values
from imagewright.cli.screen import Screen


class Invocation(NamedTuple):
    """One call of a command: its options, its arguments, and the caller's environment."""

    program: str
    values: Values
    arguments: Mapping[str, Any]
    environment: Mapping[str, str]
    screen: Screen
