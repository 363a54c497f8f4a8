"""Columns of plain text that a pipe can cut and a narrow terminal can wrap."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

WIDEST = 100
"""Columns beyond which text is hard to read; of a pipe nobody knows the width, and it gets 80."""


NARROWEST = 8
"""Columns that a column of a table keeps on the narrowest terminal."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, indent: str = "") -> str:
    """Left-aligned columns two spaces apart; the last one is not padded. Empty without rows.

    On a terminal that is too narrow, the widest columns are wrapped; in a pipe each row stays one line.
    """
    cells = [[cell.replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return ""
    if any(head):
        cells.insert(0, list(head))
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    if sys.stdout.isatty():
        _narrow(widths, shutil.get_terminal_size().columns - len(indent) - 2 * (len(widths) - 1))
    lines = []
    for row in cells:
        wrapped = [
            textwrap.wrap(cell, width, break_on_hyphens=False) if len(cell) > width else [cell]
            for cell, width in zip(row, widths, strict=True)
        ]
        for parts in zip_longest(*wrapped, fillvalue=""):
            line = "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
            lines.append(f"{indent}{line}\n")
    return "".join(lines)


def _narrow(widths: list[int], room: int) -> None:
    """Take from the widest columns, one by one, until all of them fit; none gets narrower than :data:`NARROWEST`."""
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1


def screen_width() -> int:
    """The columns that stdout has for text."""
    return min(shutil.get_terminal_size().columns, WIDEST) if sys.stdout.isatty() else 80


def terms(rows: Iterable[tuple[str, str]], width: int, *, indent: str = "  ") -> str:
    """Terms with what they mean beside them, wrapped at ``width``; a long term has its meaning below it."""
    rows = [(term, " ".join(meaning.split())) for term, meaning in rows]
    column = min(max((len(term) for term, _ in rows), default=0), width // 3) + 2
    hanging = " " * (len(indent) + column)
    lines: list[str] = []
    for term, meaning in rows:
        # a name that is too long for a line stays whole, so that it can be copied
        wrapped = textwrap.wrap(meaning, width - len(hanging), break_long_words=False, break_on_hyphens=False)
        beside = len(term) <= column - 2
        first = f"{term.ljust(column)}{wrapped.pop(0) if wrapped else ''}" if beside else term
        lines += [f"{indent}{first}".rstrip(), *(f"{hanging}{line}" for line in wrapped)]
    return "".join(f"{line}\n" for line in lines)
