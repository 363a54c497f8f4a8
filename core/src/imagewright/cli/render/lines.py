"""Text from programs made fit for a line of a terminal."""

from __future__ import annotations

import re

# compiled at the first line that needs them, which most commands never print
_ESCAPE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])"
# C0 but the tab, C1, line and paragraph separators, and what turns the direction of the text around it
_CONTROL = r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"


def printable(line: str) -> str:
    """The line without escape sequences and control characters, tabs widened; of an overwritten line the last state.

    A program's output must not move the user's cursor, retitle the window or hide text.
    """
    if line.isprintable():
        return line
    shown = line.rstrip("\r\n").rsplit("\r", 1)[-1]
    return re.sub(_CONTROL, "", re.sub(_ESCAPE, "", shown).replace("\n", " ")).expandtabs(8)
