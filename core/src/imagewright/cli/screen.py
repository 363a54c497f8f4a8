"""What a command tells the error boundary."""

from __future__ import annotations

from pathlib import Path


class Screen:
    """How a failure is shown; a command fills it in as soon as it knows.

    ``log`` is the file that takes the traceback of an unexpected error; ``written`` are the files that are in place,
    whatever happens to stdout then.
    """

    def __init__(self, *, json: bool = False, debug: bool = False, log: Path | None = None) -> None:
        self.json = json
        self.debug = debug
        self.log = log
        self.written: tuple[Path, ...] = ()
