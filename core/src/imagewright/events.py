"""What happens in a build, as values; monitors show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["done", "failed", "cached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStarted:
    """The build begins. ``phases`` holds (phase, number of steps) in order; ``log`` is the full log's file."""

    image: str
    phases: tuple[tuple[str, int], ...]
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step begins; ``number`` counts from 1 within the phase."""

    phase: str
    step: str
    flavour: str
    number: int
    total: int
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A line that the running step printed, without its end."""

    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """The step ended, after ``seconds``."""

    phase: str
    step: str
    status: Status
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FactFound:
    """The world answered: what a step found out."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A sentence the user should see: a warning or a piece of news."""

    message: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """Progress of a download, in bytes; ``total`` is None if the server did not say."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellOpened:
    """The terminal belongs to a shell in the root tree from now on: nothing may be drawn on it."""

    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellClosed:
    """The terminal is the build's again; ``status`` is the shell's exit status."""

    step: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFinished:
    """The artefacts are in place; ``seconds`` is the time of the whole build."""

    paths: tuple[Path, ...]
    seconds: float


Event = (
    BuildStarted
    | StepStarted
    | Output
    | StepFinished
    | FactFound
    | Notice
    | Downloaded
    | ShellOpened
    | ShellClosed
    | BuildFinished
)


class Monitor(Protocol):
    """Whoever watches a build."""

    def handle(self, event: Event) -> None:
        """Take note of an event; must not raise."""
        ...


class SilentMonitor:
    """Shows nothing."""

    def handle(self, event: Event) -> None:
        """Take no note."""
