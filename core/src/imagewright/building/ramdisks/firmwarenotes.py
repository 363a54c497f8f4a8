"""What the modules of kernels ask for, kept in the cache: to read it, hundreds of modules must be decompressed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagewright.documents import parse_json
from imagewright.layers.store import write_whole
from imagewright.ramdisk.kernels import Asked, asked_of

KEPT = 20
"""Kernels whose notes are kept; those that were written longest ago go first."""

_LARGEST = 1 << 24


def noted(cache: Path, version: str) -> dict[str, Asked]:
    """The notes on the modules of a kernel version; each holds for a file of its size and moment only."""
    place = _place(cache, version)
    try:
        if place.stat().st_size > _LARGEST:
            return {}
        return asked_of(parse_json(place.read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError, IndexError):
        # there are none, or nobody can read them: they are made anew
        return {}


def note(cache: Path, version: str, asked: Mapping[str, Any]) -> None:
    """Keep notes, beside those that are there. A cache that takes none is no reason to fail."""
    before = noted(cache, version)
    # a file of an image has no moment, and could be anything of its size
    now = {**before, **{path: one for path, one in asked_of(asked).items() if one[1]}}
    if now == before:
        return
    place = _place(cache, version)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, json.dumps(now, sort_keys=True))
        found = sorted(place.parent.glob("*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in found[KEPT:]:
            old.unlink(missing_ok=True)


def _place(cache: Path, version: str) -> Path:
    return cache / "firmware-of-modules" / f"{version}.json"
