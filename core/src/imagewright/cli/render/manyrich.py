"""The live screen of several builds: a line for each, and below those that run the last line that they printed.

It is drawn by :meth:`RichWatcher.tick` and by no thread, since builds are forked off the process that draws.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from imagewright import events
from imagewright.building.sidebyside import Ended
from imagewright.cli.render.durations import clock, download, seconds_of
from imagewright.cli.render.lines import printable
from imagewright.cli.render.many import told
from imagewright.cli.render.rich import ASCII, Marks, aligned

BETWEEN = 0.125
"""Seconds between two drawings."""


@dataclass(slots=True, kw_only=True)
class _Image:
    name: str
    begun: float = 0.0
    total: int = 0
    finished: int = 0
    doing: str = ""
    line: str = ""
    end: Ended | None = None
    ended: float = 0.0

    @property
    def runs(self) -> bool:
        return bool(self.begun) and self.end is None


class RichWatcher:
    """Shows several builds on a terminal; use it as a context manager, so that the terminal is left in order."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._marks = Marks() if (console.encoding or "").lower().startswith("utf") else ASCII
        self._images = {name: _Image(name=name) for name in names}
        self._width = max(map(len, names), default=0)
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._live = Live(
            console=console,
            get_renderable=self.screen,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> RichWatcher:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the screen away again."""
        self._live.stop()

    def begun(self, name: str) -> None:
        """A build has its turn."""
        self._images[name].begun = time.monotonic()

    def handle(self, name: str, event: events.Event) -> None:
        """Take note of an event."""
        image = self._images[name]
        match event:
            case events.Notice():
                text = Text(f"{name}: ")
                if event.level == "warning":
                    text.append("warning", style="bold yellow").append(": ")
                self._console.print(text.append(printable(event.message)))
            case events.BuildStarted():
                image.total = sum(total for _phase, total in event.phases)
            case events.StepStarted():
                image.doing, image.line = printable(f"{event.phase}/{event.step}"), ""
            case events.StepFinished():
                image.finished += 1
            case events.Output():
                image.line = printable(event.line).strip() or image.line
            case events.Downloaded():
                complete = event.total is not None and event.done >= event.total
                image.line = "" if complete else printable(download(event.name, event.done, event.total))

    def ended(self, ended: Ended) -> None:
        """A build ended; one that failed is said above the screen too."""
        image = self._images[ended.name]
        image.end, image.ended = ended, time.monotonic()
        if ended.error is not None:
            self._console.print(Text(f"{ended.name}: ").append(printable(told(ended)), style="red"))

    def tick(self) -> None:
        """Draw, if the last drawing is not too young."""
        now = time.monotonic()
        if now - self._drawn >= BETWEEN:
            self._drawn = now
            self._live.refresh()

    def screen(self) -> Group:
        """What is to be seen now; at most as many lines as the terminal has, those that run first."""
        now = time.monotonic()
        room = max(self._console.size.height - 2, 1)
        images = list(self._images.values())
        running = [image for image in images if image.runs]
        tails = len(running) if len(images) + len(running) <= room else 0
        if len(images) > room - tails:
            others = [image for image in images if not image.runs]
            images = [*running, *others][:room]
        lines = [self._title(now)]
        for image in images:
            lines.append(self._line(image, now))
            if tails and image.runs:
                tail = Text(f"        {self._marks.bar} {image.line}", style="dim", no_wrap=True, overflow="ellipsis")
                tail.truncate(max(self._console.size.width - 1, 10), overflow="ellipsis")
                lines.append(tail)
        return Group(*lines)

    def _title(self, now: float) -> Text:
        images = self._images.values()
        done = sum(image.end is not None for image in images)
        title = Text(f"Building {len(images)} images", style="bold").append(f"  {done} ended", style="not bold")
        return aligned(title, clock(now - self._begun), self._console.size.width)

    def _line(self, image: _Image, now: float) -> Text:
        marks = self._marks
        if image.end is not None:
            done = image.end.ending == "done"
            mark, style, doing = (marks.done, "green", "") if done else (marks.failed, "red", image.end.ending)
            taken = seconds_of(image.ended - image.begun)
        elif image.runs:
            mark, style = marks.spinner[int(now * 8) % len(marks.spinner)], "cyan"
            doing = f"{image.finished}/{image.total} {image.doing}" if image.doing else ""
            taken = seconds_of(now - image.begun)
        else:
            mark, style, doing, taken = marks.waiting, "dim", "", ""
        line = Text("  ").append(mark, style=style).append(f" {image.name:<{self._width}}  ")
        return aligned(line.append(doing, style="dim"), taken, self._console.size.width)
