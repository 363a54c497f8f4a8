"""One line per event, for pipes and logs of other programs: no cursor codes, no colour."""

from __future__ import annotations

import time
from typing import TextIO

from imagewright import events
from imagewright.cli.render.durations import clock, download, seconds_of
from imagewright.cli.render.lines import printable

BETWEEN_DOWNLOADS = 5.0
"""Seconds between two lines about the same download."""


class PlainMonitor:
    """Writes a line with the elapsed time for every event but the output of steps."""

    def __init__(self, stream: TextIO, *, prefix: str = "") -> None:
        self.prefix = prefix
        self._stream = stream
        self._begun = time.monotonic()
        self._downloads: dict[str, float] = {}

    def handle(self, event: events.Event) -> None:
        """Write the event's line."""
        self.say(self._text(event))

    def say(self, text: str) -> None:
        """Write a line with the elapsed time, if there is anything to say."""
        if text:
            self._stream.write(f"[{clock(time.monotonic() - self._begun):>5}] {self.prefix}{printable(text)}\n")
            self._stream.flush()

    def _text(self, event: events.Event) -> str:
        match event:
            case events.BuildStarted():
                return f"building {event.image}, log {event.log}"
            case events.StepStarted():
                summary = f": {event.summary}" if event.summary else ""
                return f"{event.phase}/{event.step} ({event.flavour}) {event.number} of {event.total}{summary}"
            case events.StepFinished():
                return f"{event.phase}/{event.step} {event.status} after {seconds_of(event.seconds)}"
            case events.FactFound():
                return f"{event.name}: {event.value}"
            case events.Notice():
                return f"warning: {event.message}" if event.level == "warning" else event.message
            case events.Downloaded():
                return self._download(event)
            case events.ShellOpened():
                return f"shell at {event.step}"
            case events.ShellClosed():
                return f"shell at {event.step} ended with exit status {event.status}"
            case events.BuildFinished():
                return f"done in {seconds_of(event.seconds)}"
            case _:
                return ""

    def _download(self, event: events.Downloaded) -> str:
        now = time.monotonic()
        complete = event.total is not None and event.done >= event.total
        if not complete and now - self._downloads.get(event.name, -BETWEEN_DOWNLOADS) < BETWEEN_DOWNLOADS:
            return ""
        self._downloads[event.name] = now
        return f"download {download(event.name, event.done, event.total)}"
