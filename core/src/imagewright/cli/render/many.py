"""Who shows several builds at once: a live screen with a line for each, plain lines or JSON lines with their names."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from imagewright.building.sidebyside import Ended, Watcher
from imagewright.cli.messages import document
from imagewright.cli.render.choose import chosen
from imagewright.cli.render.durations import seconds_of
from imagewright.events import Event

if TYPE_CHECKING:
    from imagewright.cli.render.jsonl import JsonMonitor


@contextmanager
def watching(
    progress: str, environment: Mapping[str, str], names: Sequence[str], stream: TextIO | None = None
) -> Iterator[Watcher]:
    """The watcher that shows the builds ``names`` on ``stream`` (stderr), as ``--progress`` says."""
    stream = stream or sys.stderr
    match chosen(progress, stream, environment):
        case "rich":
            from rich.console import Console

            from imagewright.cli.render.manyrich import RichWatcher

            with RichWatcher(Console(file=stream, highlight=False, markup=False, emoji=False), names) as watcher:
                yield Careful(watcher)
        case "json":
            from imagewright.cli.render.jsonl import JsonMonitor

            yield Careful(JsonWatcher(JsonMonitor(stream)))
        case "plain":
            yield Careful(PlainWatcher(stream, names))
        case _:
            yield SilentWatcher()


def told(ended: Ended) -> str:
    """How a build ended, in words."""
    if ended.finished is not None:
        return f"done in {seconds_of(ended.finished.seconds)}"
    if ended.error is not None:
        return f"failed: {ended.error.message}"
    return ended.ending


class SilentWatcher:
    """Shows nothing."""

    def begun(self, name: str) -> None:
        """Take no note."""

    def handle(self, name: str, event: Event) -> None:
        """Take no note."""

    def ended(self, ended: Ended) -> None:
        """Take no note."""

    def tick(self) -> None:
        """Draw nothing."""


class Careful:
    """Passes everything on to a watcher; one that fails (a closed pipe, a full disk) hears no more."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def begun(self, name: str) -> None:
        """Pass it on."""
        with self._letting_go():
            self._watcher.begun(name)

    def handle(self, name: str, event: Event) -> None:
        """Pass it on."""
        with self._letting_go():
            self._watcher.handle(name, event)

    def ended(self, ended: Ended) -> None:
        """Pass it on."""
        with self._letting_go():
            self._watcher.ended(ended)

    def tick(self) -> None:
        """Pass it on."""
        with self._letting_go():
            self._watcher.tick()

    @contextmanager
    def _letting_go(self) -> Iterator[None]:
        with suppress(OSError, ValueError):
            yield
            return
        self._watcher = SilentWatcher()


class PlainWatcher(SilentWatcher):
    """A line with elapsed time and name for every event but the output of steps."""

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        from imagewright.cli.render.plain import PlainMonitor

        # all of them count from now
        self._monitors = {name: PlainMonitor(stream, prefix=f"{name}: ") for name in names}

    def handle(self, name: str, event: Event) -> None:
        """Write the event's line."""
        self._monitors[name].handle(event)

    def ended(self, ended: Ended) -> None:
        """Say what failed; of one that is done its own event says so."""
        if ended.finished is None:
            self._monitors[ended.name].say(told(ended))


class JsonWatcher(SilentWatcher):
    """The objects of one build's events, each with ``build``, its name; and ``build-ended`` for each."""

    def __init__(self, monitor: JsonMonitor) -> None:
        self._monitor = monitor

    def handle(self, name: str, event: Event) -> None:
        """Write the event's object."""
        from imagewright.cli.render.jsonl import fields_of, name_of

        self._monitor.write(name_of(event), {"build": name, **fields_of(event)})

    def ended(self, ended: Ended) -> None:
        """Write how it ended."""
        error = document(ended.error)["error"] if ended.error else None
        fields = {"build": ended.name, "status": ended.ending, "at": round(time.time(), 3)}
        self._monitor.write("build-ended", fields | ({"error": error} if error else {}))
