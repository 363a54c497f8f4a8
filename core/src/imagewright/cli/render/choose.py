"""Which monitor a command uses, and all of them as one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from imagewright.events import Event, Monitor, Notice, SilentMonitor


class Monitors:
    """Passes every event to each monitor; one that fails (a closed pipe, a full disk) is left out from then on.

    The others are told, by the ``title`` of the one that failed if it has one.
    """

    def __init__(self, *monitors: Monitor) -> None:
        self._monitors = list(monitors)

    def handle(self, event: Event) -> None:
        """Pass the event on."""
        for monitor in list(self._monitors):
            try:
                monitor.handle(event)
            except (OSError, ValueError) as error:
                self._monitors.remove(monitor)
                title, reason = getattr(monitor, "title", "the screen"), getattr(error, "strerror", "") or str(error)
                message = f"{title} takes no more: {reason.lower()}"
                self.handle(Notice(message=message, level="warning"))


def chosen(progress: str, stream: TextIO, environment: Mapping[str, str]) -> str:
    """``auto`` decided: rich on a terminal that can move its cursor and belongs to a person, else plain."""
    if progress != "auto":
        return progress
    person = stream.isatty() and environment.get("TERM", "dumb") != "dumb" and not environment.get("CI")
    return "rich" if person else "plain"


@contextmanager
def display(progress: str, environment: Mapping[str, str], stream: TextIO | None = None) -> Iterator[Monitor]:
    """The monitor that shows a build on ``stream`` (stderr), as ``--progress`` says."""
    stream = stream or sys.stderr
    match chosen(progress, stream, environment):
        case "rich":
            from rich.console import Console

            from imagewright.cli.render.rich import RichMonitor

            with RichMonitor(Console(file=stream, highlight=False, markup=False, emoji=False)) as monitor:
                yield monitor
        case "json":
            from imagewright.cli.render.jsonl import JsonMonitor

            yield JsonMonitor(stream)
        case "plain":
            from imagewright.cli.render.plain import PlainMonitor

            yield PlainMonitor(stream)
        case _:
            yield SilentMonitor()
