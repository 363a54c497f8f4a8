"""A pack whose flavour has the name of another one."""

from __future__ import annotations

from imagewright.api import Flavour


class Faulty(Flavour):
    """The second of its name."""

    summary = "the other base"
