"""What is done once in a run, by the process that needs it first: pytest-xdist gives each file to one of several."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock
from imagewright.boot.errors import BootFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A life that went wrong, in the words of its error."""

    words: str


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder that all processes of this run share."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lives"
    folder.mkdir(exist_ok=True)
    return folder


def once(common: Path, name: str, live: Callable[[Path], T]) -> T:
    """What ``live`` gave for a folder of its own called ``name``; others wait for it. One that fails, fails for all."""
    record = common / f"{name}.record"
    with FileLock(common / f"{name}.lock"):
        if not record.exists():
            where = common / name
            shutil.rmtree(where, ignore_errors=True)
            where.mkdir()
            outcome: T | Failed
            try:
                outcome = live(where)
            except (AssertionError, BootFailed) as error:
                outcome = Failed(words=str(error))
            record.write_bytes(pickle.dumps(outcome))
    outcome = pickle.loads(record.read_bytes())
    if isinstance(outcome, Failed):
        pytest.fail(f"{name}: {outcome.words}")
    return outcome
