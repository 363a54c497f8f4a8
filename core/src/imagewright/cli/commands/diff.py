"""``imagewright diff``: what differs between two images or manifests, for people or as a document.

The exit codes are those of diff(1): 0 if nothing differs, 1 if something does, 2 if there was trouble.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.render.lines import printable
from imagewright.cli.tables import table
from imagewright.comparing.comparing import Change, Comparison, FileChange, compare
from imagewright.errors import ImagewrightError, UsageError

_DIFFERENT, _TROUBLE = 1, 2
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_DEPTH = 3
"""Folders are shown with their sizes if their paths have fewer slashes than this."""


def run(invocation: Invocation) -> None:
    """Compare and print. Raises ImagewrightError with exit code 2, and Exit with 1 if something differs."""
    given = [invocation.arguments[name] for name in ("before", "after")]
    if not all(given):
        raise UsageError(
            "not-two-images",
            "two images or manifests are compared",
            cause=f"only {given[0]} was named" if given[0] else "none was named",
            hint=f"`{invocation.program} OLD NEW` takes two",
        )
    before, after = (Path(name).expanduser() for name in given)
    try:
        found = compare(before, after)
    except ImagewrightError as error:
        error.exit_code = _TROUBLE
        raise
    if invocation.values["json"]:
        print_document(_document(found, before, after))
    else:
        sys.stdout.write(page(found))
    if not found.same:
        raise typer.Exit(_DIFFERENT)


def page(found: Comparison) -> str:
    """The comparison for people."""
    if found.same_bytes:
        return "the same bytes\n"
    parts = []
    for name, changes in found.sections.items():
        if changes:
            parts.append(f"{name}: {_counted(changes)}\n" + table(("", "", ""), map(_row, changes), indent="  "))
    if found.files:
        parts.append(f"files: {_counted(found.files)}\n" + "".join(_file(change) for change in found.files))
    folders = [one for one in found.folders if one.path.count("/") < _DEPTH]
    if folders:
        rows = [
            (one.path, _size(one.before), _size(one.after), f"{one.after - one.before:+d} bytes") for one in folders
        ]
        parts.append("sizes of folders:\n" + table(("FOLDER", "BEFORE", "AFTER", "DIFFERENCE"), rows, indent="  "))
    if found.bytes_only:
        lines = "".join(f"  {line}\n" for line in found.bytes_only)
        parts.append(f"the disks hold the same, but their bytes differ:\n{lines}")
    if found.same:
        parts.append("nothing differs\n")
    if found.unknown:
        parts.append(f"not compared, since one side does not tell of it: {', '.join(found.unknown)}\n")
    return "\n".join(parts)


def _row(change: Change) -> tuple[str, str, str]:
    if change.before is None:
        return "+", printable(change.name), printable(change.after or "")
    if change.after is None:
        return "-", printable(change.name), printable(change.before)
    return "~", printable(change.name), f"{printable(change.before)} -> {printable(change.after)}"


def _file(change: FileChange) -> str:
    path = printable(change.path)
    if change.how != "changed":
        size = f", {_size(change.size)}" if change.kind == "file" else f", {change.kind}"
        return f"  {_SIGNS[change.how]} {path}{size}\n"
    return f"  ~ {path}: {', '.join(_properties(change.what))}\n"


def _properties(changes: Sequence[Change]) -> Iterator[str]:
    for one in changes:
        if one.name == "content":
            yield "content"
        else:
            yield f"{one.name} {printable(one.before or 'none')} -> {printable(one.after or 'none')}"


def _counted(changes: Sequence[Change] | Sequence[FileChange]) -> str:
    hows = [one.how if isinstance(one, FileChange) else _how(one) for one in changes]
    return ", ".join(f"{hows.count(how)} {how}" for how in _SIGNS if how in hows)


def _how(change: Change) -> str:
    return "added" if change.before is None else "removed" if change.after is None else "changed"


def _size(size: int) -> str:
    for unit, many in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= many:
            return f"{size / many:.1f} {unit}"
    return f"{size} bytes"


def _document(found: Comparison, before: Path, after: Path) -> dict[str, object]:
    return {
        "before": os.fspath(before),
        "after": os.fspath(after),
        "same": found.same,
        "same_bytes": found.same_bytes,
        **{name: [asdict(change) for change in changes] for name, changes in found.sections.items()},
        "files": [asdict(change) for change in found.files],
        "folders": [asdict(change) for change in found.folders],
        "bytes_only": list(found.bytes_only),
        "not_compared": list(found.unknown),
    }
