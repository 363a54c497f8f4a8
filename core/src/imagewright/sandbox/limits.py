"""How much a step may take: time, memory, and what it prints."""

from __future__ import annotations

import time
from dataclasses import dataclass

from imagewright.errors import StepFailed

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one job; 0 stands for none. ``seconds`` of time, bytes of ``memory`` per process, and of ``output``."""

    seconds: int = 7200
    memory: int = 16 << 30
    output: int = 256 * MIB


class Meter:
    """What one job has taken so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._end = time.monotonic() + limits.seconds if limits.seconds else None
        self._printed = 0

    def left(self) -> float | None:
        """How many seconds are left; None: no limit. Raises StepFailed if there are none."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise StepFailed(
                "step-too-long",
                f"the step ran longer than {self._limits.seconds} seconds, so it was ended",
                cause="it hangs, or it waits for something that does not come, or it needs more time",
                hint="--step-timeout SECONDS gives it more, 0 as much as it wants",
            )
        return left

    def printed(self, count: int) -> None:
        """Count bytes of output. Raises StepFailed if they are too many."""
        self._printed += count
        if self._limits.output and self._printed > self._limits.output:
            raise StepFailed(
                "step-too-loud",
                f"the step printed more than {self._limits.output // MIB} MiB, so it was ended",
                cause="it prints without end, or something binary",
                hint="--step-output MIB lets it print more, 0 as much as it wants",
            )
