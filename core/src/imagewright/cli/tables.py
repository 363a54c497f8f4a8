"""Columns of plain text that a pipe can cut and a narrow terminal can wrap."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

WIDEST = 100
"""Columns beyond which text is hard to read; of a pipe nobody knows the width, and it gets 80."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, indent: str = "") -> str:
    """Left-aligned columns two spaces apart; the last one is not padded. Empty without rows."""
    cells = [[cell.replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return ""
    if any(head):
        cells.insert(0, list(head))
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "".join(f"{indent}{line}\n" for line in lines)


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
