"""The full log: every event and every line of output with its moment."""

from __future__ import annotations

import time
from typing import TextIO

from imagewright import events
from imagewright.cli.render.plain import PlainMonitor


class LogMonitor(PlainMonitor):
    """Writes everything; a line of a step's output stands behind ``|``."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._started = time.time()

    def handle(self, event: events.Event) -> None:
        """Write the event's line with the time of day in UTC."""
        if isinstance(event, events.Output):
            text = f"| {event.line.rstrip()}"
        else:
            text = self._text(event)
            if not text:
                return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        self._stream.write(f"{stamp}.{int(now * 1000) % 1000:03}Z {text}\n")
        if not isinstance(event, events.Output):
            self._stream.flush()
