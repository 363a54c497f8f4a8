"""Parts of a file over HTTP: the header ``Range`` of RFC 9110, section 14, one range only."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19}))")


class Unsatisfiable(ValueError):
    """The part that is asked for lies behind the file's end."""


def part(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last that ``header`` asks for; None for the whole file.

    A header that is not understood asks for the whole file, as the RFC says. Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(suffix)), size
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, end
