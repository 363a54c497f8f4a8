"""What a running build knows, and how it tells the monitor."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imagewright.errors import ImagewrightError, StepFailed
from imagewright.events import FactFound, Monitor, Output, Status, StepFinished, StepStarted
from imagewright.lockfile.fitting import check_base
from imagewright.lockfile.lock import Lock
from imagewright.plan import PlannedStep
from imagewright.planning import Prepared
from imagewright.planning.variables import proxy_secrets
from imagewright.request import Request
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import Stack
from imagewright.types import Origin, Package

EARLIEST = 946_684_800
"""SOURCE_DATE_EPOCH until the package manager has dated the packages: 2000-01-01, if the caller sets none."""

TAIL = 20
"""How many of a failed step's last lines its error shows."""

_NO_MEMORY = ("annot allocate memory", "emory exhausted", "ut of memory", "MemoryError")
"""What programs say where they get no memory."""


@dataclass(slots=True)
class Outcome:
    """How a step ended, for whoever runs it to say."""

    status: Status = "done"


@dataclass(slots=True, kw_only=True)
class Building:
    """The state of one build; the only mutable value, private to this room."""

    request: Request
    prepared: Prepared
    sandbox: Sandbox
    folder: Path
    log: Path
    monitor: Monitor
    umask: int  # the caller's, for the artefacts
    epoch: int
    epoch_fixed: bool
    kernel: str = ""
    layers: list[str] = field(default_factory=list)  # bottom first
    brought: dict[str, PlannedStep] = field(default_factory=dict)  # by layer, the step that made it
    tools: tuple[str, ...] = ()  # layers below the tree that never reach the image
    facts: dict[str, str] = field(default_factory=dict)
    kept: Path | None = None  # the folder of kept layers; None: neither are any found nor kept
    resolution: tuple[Package, ...] | None = None  # what the transaction brings, once it was asked
    top: str = ""  # the identity of the finished tree's topmost layer, if it is kept
    digests: dict[tuple[str, str], str] = field(default_factory=dict)  # of archives, by the package's name and version
    waited: set[Path] = field(default_factory=set)  # the package caches that were said to be in use
    lock: Lock | None = None  # of the finished tree, if the request names a lock file
    closing: ExitStack = field(default_factory=ExitStack)  # what is let go when the stack is not needed any more
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    def stack(self, *, upper: str | None = None, tools: bool = True) -> Stack:
        """The root tree as it is now; ``upper`` names the layer that takes what a step writes."""
        below = self.tools if tools else ()
        return Stack(lower=(*(layer for layer in reversed(self.layers) if layer != upper), *below), upper=upper)

    def fact(self, name: str, value: str) -> None:
        """Record what the world answered. Raises PlanError if it is not what a lock says."""
        if self.prepared.lock is not None and self.request.lock is not None:
            check_base(self.prepared.lock, name, value, self.request.lock)
        self.facts[name] = value
        self.monitor.handle(FactFound(name=name, value=self.masked(value)))

    def output(self, line: str) -> None:
        """Pass on a line that the running step printed."""
        line = self.masked(line)
        self.tail.append(line)
        self.monitor.handle(Output(line=line))

    def masked(self, text: str) -> str:
        """The text without the values of secret parameters, logins, and the credentials of proxies."""
        secrets = {*self.prepared.secrets, *proxy_secrets(self.request.environment)}
        # output comes line by line, and so may a secret
        for secret in sorted(secrets, key=len, reverse=True):
            for part in (secret, *(line for line in secret.splitlines() if len(line) > 3)):
                text = text.replace(part, "***")
        return text

    @contextmanager
    def step(
        self, phase: str, step: str, origin: Origin, number: int, total: int, summary: str = ""
    ) -> Iterator[Outcome]:
        """Tell of a step and its end; a failure inside gets its place, last lines and log."""
        self.tail.clear()
        self.monitor.handle(
            StepStarted(phase=phase, step=step, flavour=origin.flavour, number=number, total=total, summary=summary)
        )
        begun = time.monotonic()
        outcome = Outcome()
        try:
            yield outcome
        except ImagewrightError as error:
            if not any(line.startswith("step: ") for line in error.where):
                error.where = (*error.where, f"step: {phase}/{step}", f"flavour: {origin}")
            # a function may well say with what it was refused
            error.change(self.masked)
            self.monitor.handle(StepFinished(phase=phase, step=step, status="failed", seconds=time.monotonic() - begun))
            raise
        seconds = time.monotonic() - begun
        self.monitor.handle(StepFinished(phase=phase, step=step, status=outcome.status, seconds=seconds))

    def failed(self, what: str, status: int) -> StepFailed:
        """The error of a program that ended badly, with its last lines."""
        ended = f"was killed by signal {status - 128}" if status > 128 else f"failed with exit status {status}"
        lines = tuple(f"| {line}" for line in self.tail)
        scarce = self.request.limits.memory and any(words in line for line in self.tail for words in _NO_MEMORY)
        cause = "--step-memory limits what each process of a step may have" if scarce else ""
        if status - 128 == signal.SIGXFSZ:
            cause = "the limit of `ulimit -f` on the size of files, which the build got from whoever started it"
        return StepFailed(
            "step-failed",
            f"{what} {ended}",
            where=(*lines, f"exit status: {status}"),
            cause=cause,
            hint=f"the whole output is in {self.log}",
        )
