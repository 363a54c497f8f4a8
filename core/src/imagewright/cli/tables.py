"""Columns of plain text that a pipe can cut and a narrow terminal can wrap."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

WIDEST = 100
"""Columns beyond which text is hard to read; of a pipe nobody knows the width, and it gets 80."""


NARROWEST = 8
"""Columns that a column of a table keeps on the narrowest terminal."""

_PARTS = re.compile(r" |(?<=[-/])")
"""Between the parts of a cell that stay whole where there is room."""


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
        longest = [max(len(part) for row in cells for part in _PARTS.split(row[at])) for at in range(len(head))]
        _narrow(widths, longest, shutil.get_terminal_size().columns - len(indent) - 2 * (len(widths) - 1))
    lines = []
    for row in cells:
        wrapped = [
            _wrapped(cell, width) if len(cell) > width else [cell] for cell, width in zip(row, widths, strict=True)
        ]
        for parts in zip_longest(*wrapped, fillvalue=""):
            line = "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
            lines.append(f"{indent}{line}\n")
    return "".join(lines)


def _wrapped(cell: str, width: int) -> list[str]:
    """The cell's lines; a name that is wider than the column is parted behind a dash or a slash, if that does."""
    lines = [""]
    for word in cell.split():
        parts = _PARTS.split(word) if len(word) > width else [word]
        for number, part in enumerate(parts):
            gap = " " if lines[-1] and number == 0 else ""
            if len(lines[-1] + gap + part) <= width:
                lines[-1] += gap + part
            else:
                lines += textwrap.wrap(part, width, break_on_hyphens=False)
    return lines if lines[0] else lines[1:]


def _narrow(widths: list[int], parts: Sequence[int], room: int) -> None:
    """Take from the widest columns, one by one, until all of them fit; none gets narrower than :data:`NARROWEST`.

    As long as that does, none gets narrower than the longest part of its names either.
    """
    for least in (parts, [NARROWEST] * len(widths)):
        while sum(widths) > room and (wide := [at for at, width in enumerate(widths) if width > least[at]]):
            widths[max(wide, key=widths.__getitem__)] -= 1


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
