"""Text from programs made fit for a line of a terminal."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(line: str) -> str:
    """The line without escape sequences and control characters, tabs widened; of an overwritten line the last state.

    A program's output must not move the user's cursor, retitle the window or hide text.
    """
    shown = line.rstrip("\r\n").rsplit("\r", 1)[-1]
    return _CONTROL.sub("", _ESCAPE.sub("", shown)).expandtabs(8)
