"""The image, the accelerator and the time that every boot has, and what is kept of a machine's life."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from imagewright import hosttools
from imagewright.boot.accelerator import Accelerator, probe
from imagewright.boot.disks import make_overlay
from imagewright.boot.firmware import find_uefi
from imagewright.boot.machine import Machine
from imagewright.boot.running import RunningMachine, running
from imagewright.boot.ssh import KeyPair, Login, log_in
from imagewright.boot.tools import PROGRAMS
from imagewright.errors import HostError
from imagewright.types import GIB

from boots_kit.observing import virtual_size

GROWTH = 3 * GIB
"""How much larger than the image the disks of these machines are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What every boot needs; ``patience`` is the time in seconds for anything a machine does."""

    image: Path
    size: int
    accelerator: Accelerator
    patience: float

    def disk(self, folder: Path) -> Path:
        """A larger disk over the image, which keeps what is written."""
        overlay = folder / "disk.qcow2"
        make_overlay(self.image, overlay, size=self.size + GROWTH)
        return overlay

    def run(self, machine: Machine, folder: Path) -> AbstractContextManager[RunningMachine]:
        """Run a machine."""
        return running(machine, folder, accelerator=self.accelerator, notice=lambda line: print(line, file=sys.stderr))

    def log_in(self, machine: RunningMachine, key: KeyPair) -> Login:
        """Log in as the image's user."""
        return log_in(machine, "debian", key.private, timeout=self.patience)


def lab_with(build: Callable[[], Path]) -> Lab:
    """The lab for an image that ``build`` gives."""
    missing = hosttools.missing(PROGRAMS)
    if missing:
        cannot(f"missing programs: apt-get install {' '.join(hosttools.packages_of(missing))}")
    try:
        find_uefi()
        accelerator = probe()
    except HostError as error:
        cannot(str(error))
    try:
        image = build()
    except RuntimeError as error:
        # An image that does not build is a defect wherever it happens.
        pytest.fail(str(error))
    return Lab(
        image=image,
        size=virtual_size(image),
        accelerator=accelerator,
        patience=120.0 * accelerator.patience,
    )


def cannot(reason: str) -> NoReturn:
    """A boot that cannot run: a failure in CI, a skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI every boot has to run: {reason}")
    pytest.skip(reason)


@dataclass(slots=True, kw_only=True)
class Life:
    """What was seen of a machine between power-on and power-off."""

    console: str
    seen: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy of the image: its disk, and the key of its first life."""

    disk: Path
    key: KeyPair
