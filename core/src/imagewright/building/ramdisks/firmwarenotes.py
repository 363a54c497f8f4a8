"""What the modules of kernels ask for, kept in the cache: to read it, hundreds of modules must be decompressed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagewright.documents import parse_json
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
    passing = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        passing.write_text(json.dumps(now, sort_keys=True), encoding="utf-8")
        passing.replace(place)
        found = sorted(place.parent.glob("*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in found[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        with suppress(OSError):
            passing.unlink()


def _place(cache: Path, version: str) -> Path:
    return cache / "firmware-of-modules" / f"{version}.json"
