"""Counts of what tests tried to break: what ``docs/reliability.md`` is made of, by ``scripts/make-reliability``.

A test takes the fixture ``reliability`` and counts what it really does, under one of the chapters of the page::

    def test_a_partition_table_of_any_bytes_is_read_or_refused(reliability):
        for number in range(2000):
            with reliability.trying("inputs", "partition tables"):
                read_or_refuse(some_bytes(number))

    def test_forty_escapes(reliability):
        reliability.tried("escapes", "host files", 12, lost=len(read_files_of_the_host))

``trying`` counts one try, and a loss if an exception leaves the block. A kind is a few words in the plural; several
tests may count under one. Each test has a file of its own below pytest's cache, ``.pytest_cache/d/reliability``, which
its next run replaces: so the page holds the last run of each, and processes of pytest-xdist need no lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Chapter = Literal["faults", "inputs", "escapes"]
"""What was tried: a fault injected, an input given, an escape from the sandbox or past a check attempted."""

CHAPTERS: tuple[Chapter, ...] = get_args(Chapter)

FOLDER = "reliability"
"""The name of the folder below pytest's cache."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """How often something was tried, and how often it did harm."""

    tried: int = 0
    lost: int = 0


@dataclass(slots=True, kw_only=True)
class Recorder:
    """What one test tried; ``test`` is its pytest id."""

    test: str
    counts: dict[tuple[Chapter, str], Tally] = field(default_factory=dict)

    def tried(self, chapter: Chapter, kind: str, number: int = 1, *, lost: int = 0) -> None:
        """Count ``number`` tries of a kind, of which ``lost`` did harm."""
        tally = self.counts.setdefault((chapter, kind), Tally())
        tally.tried += number
        tally.lost += lost

    @contextmanager
    def trying(self, chapter: Chapter, kind: str) -> Iterator[None]:
        """Count one try, and one loss if an exception leaves the block."""
        try:
            yield
        except BaseException:
            self.tried(chapter, kind, lost=1)
            raise
        self.tried(chapter, kind)

    def write(self, folder: Path) -> None:
        """Replace the test's file in ``folder``; a test that tried nothing, such as a skipped one, leaves it alone."""
        if not self.counts:
            return
        rows = [
            {"chapter": chapter, "kind": kind, "tried": tally.tried, "lost": tally.lost}
            for (chapter, kind), tally in sorted(self.counts.items())
        ]
        place = folder / f"{hashlib.sha256(self.test.encode()).hexdigest()[:20]}.json"
        passing = place.with_suffix(".part")
        passing.write_text(json.dumps({"test": self.test, "counts": rows}, indent=1) + "\n")
        passing.replace(place)


def read(folder: Path) -> tuple[Recorder, ...]:
    """What the tests wrote into ``folder``, by their ids."""
    found = []
    for path in folder.glob("*.json"):
        document = json.loads(path.read_text())
        recorder = Recorder(test=document["test"])
        for row in document["counts"]:
            recorder.tried(row["chapter"], row["kind"], row["tried"], lost=row["lost"])
        found.append(recorder)
    return tuple(sorted(found, key=lambda one: one.test))
