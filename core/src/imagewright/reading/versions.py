"""The order of kernel versions, which no distribution's own rule gives for all of them."""

from __future__ import annotations

import re

_PART = re.compile(r"\d+|[A-Za-z]+|~")
_EARLIER = ("~", "rc", "alpha", "beta", "pre", "old", "bak", "rescue")

Order = tuple[tuple[int, int, str], ...]


def order(version: str) -> Order:
    """A key to sort by: numbers by value, above words; ``rc`` and the like below the end.

    ``6.1.0-9-amd64`` < ``6.1.0-18-amd64``; ``6.8.0-rc3`` < ``6.8.0``; ``5.14.0-362.el9`` < ``5.14.0-362.8.1.el9``.
    """
    parts: list[tuple[int, int, str]] = []
    for part in _PART.findall(version):
        if part.isdigit():
            parts.append((3, int(part[:18]), ""))
        elif part.lower() in _EARLIER:
            parts.append((0, 0, part))
        else:
            parts.append((2, 0, part))
    return (*parts, (1, 0, ""))
