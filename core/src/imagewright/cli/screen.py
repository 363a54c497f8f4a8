"""What a command tells the error boundary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Screen:
    """How a failure is shown; a command fills it in as soon as it knows.

    ``log`` is the file that takes the traceback of an unexpected error; ``written`` are the files that are in place,
    whatever happens to stdout then.
    """

    json: bool = False
    debug: bool = False
    log: Path | None = None
    written: tuple[Path, ...] = ()
