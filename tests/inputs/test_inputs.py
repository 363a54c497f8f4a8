"""Whatever is read may be damaged or hostile: it is read, or refused in one clear line, and leads nowhere else."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from imagewright.errors import ImagewrightError
from imagewright.testing.reliability import Recorder

from .mutations import mutated
from .parsers import PARSERS, Parser

TRIES = 1500
PATIENCE = 30
"""Seconds for one input: far more than any needs, so that a slow machine is no hang."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.kind.replace(" ", "-"))
def test_damaged_input_is_read_or_refused(parser: Parser, tmp_path: Path, reliability: Recorder) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    before = sorted(tmp_path.iterdir())
    for number in range(TRIES):
        data = mutated(parser.sample, number)
        with reliability.trying("inputs", parser.kind), patience(), named(number):
            try:
                parser.give(data, folder)
            except parser.refusals as refusal:
                check(refusal)
        # nothing beside the folder that the parser was given
        assert sorted(tmp_path.iterdir()) == before
        shutil.rmtree(folder)
        folder.mkdir()


def test_the_samples_are_good(tmp_path: Path) -> None:
    for number, parser in enumerate(PARSERS):
        if parser.kind != "partition tables":  # it leads to no filesystem
            folder = tmp_path / f"{number}"
            folder.mkdir()
            parser.give(parser.sample, folder)


def check(refusal: Exception) -> None:
    """One message that a terminal can show."""
    text = refusal.message if isinstance(refusal, ImagewrightError) else str(refusal)
    assert text


@contextmanager
def patience() -> Iterator[None]:
    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def named(number: int) -> Iterator[None]:
    """Say which damaged copy it was."""
    try:
        yield
    except Exception as error:
        error.add_note(f"mutated(sample, {number})")
        raise
