"""A pack whose dependency is not there."""

from __future__ import annotations

import imagewright_no_such_module
from imagewright.api import Flavour


class Faulty(Flavour):
    """Never made."""

    summary = imagewright_no_such_module.SUMMARY
