"""The live screen: phases, the steps of the running phase, elapsed time, and the tail of the running step's output.

It is drawn by rich's own thread eight times a second from what :meth:`RichMonitor.handle` noted, and it disappears at
the end. Lines are cut to the terminal, so that a narrow or a resized one stays readable.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from imagewright import events
from imagewright.cli.render.durations import clock, download, seconds_of
from imagewright.cli.render.lines import printable

TAIL = 8
"""Lines of output that are shown."""

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SPINNER_ASCII = "|/-\\"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The signs in front of a line."""

    done: str = "✓"
    failed: str = "✗"
    cached: str = "≡"
    waiting: str = "·"
    bar: str = "│"
    full: str = "━"
    spinner: str = SPINNER


ASCII = Marks(done="+", failed="!", cached="=", waiting=".", bar="|", full="=", spinner=SPINNER_ASCII)


@dataclass(slots=True, kw_only=True)
class _Step:
    name: str
    flavour: str
    summary: str
    begun: float
    status: str = ""
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Phase:
    name: str
    total: int
    begun: float = 0.0
    seconds: float = 0.0
    finished: int = 0
    failed: bool = False
    steps: list[_Step] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return self.finished >= self.total


class RichMonitor:
    """Shows a build on a terminal; use it as a context manager, so that the terminal is left in order."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._marks = Marks() if (console.encoding or "").lower().startswith("utf") else ASCII
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._image = ""
        self._phases: dict[str, _Phase] = {}
        self._current: _Phase | None = None
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._download = ""
        self._live = Live(
            console=console,
            get_renderable=self.screen,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> RichMonitor:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the screen away again."""
        # a terminal that is gone takes nothing, which must not hide what ended the build
        with suppress(OSError):
            self._live.stop()

    def handle(self, event: events.Event) -> None:
        """Take note of an event."""
        match event:
            case events.Notice():
                self._print(event)
            case events.ShellOpened():
                self._live.stop()
            case events.ShellClosed():
                self._live.start()
            case events.BuildFinished():
                self._live.stop()
                line = Text(f"built {self._image} in {seconds_of(event.seconds)}")
                self._console.print(line, overflow="ellipsis", no_wrap=True)
            case _:
                with self._lock:
                    self._note(event)

    def _print(self, notice: events.Notice) -> None:
        text = Text()
        if notice.level == "warning":
            text.append("warning", style="bold yellow").append(": ")
        text.append(printable(notice.message))
        self._console.print(text)

    def _note(self, event: events.Event) -> None:
        now = time.monotonic()
        match event:
            case events.BuildStarted():
                self._image = printable(event.image)
                for name, total in event.phases:
                    if total:
                        self._phases[name] = _Phase(name=name, total=total)
            case events.StepStarted():
                phase = self._phases.setdefault(event.phase, _Phase(name=event.phase, total=event.total))
                phase.total = max(phase.total, event.total)
                phase.begun = phase.begun or now
                phase.steps.append(
                    _Step(
                        name=event.step, flavour=printable(event.flavour), summary=printable(event.summary), begun=now
                    )
                )
                self._current = phase
                self._tail.clear()
                self._download = ""
            case events.Output():
                line = printable(event.line)
                if line.strip():
                    self._tail.append(line)
            case events.StepFinished():
                self._finish(event, now)
            case events.Downloaded():
                complete = event.total is not None and event.done >= event.total
                self._download = "" if complete else printable(download(event.name, event.done, event.total))

    def _finish(self, event: events.StepFinished, now: float) -> None:
        phase = self._phases.get(event.phase)
        if phase is None:
            return
        for step in phase.steps:
            if step.name == event.step and not step.status:
                step.status, step.seconds = event.status, event.seconds
        phase.finished += 1
        phase.seconds = now - phase.begun
        phase.failed = phase.failed or event.status == "failed"
        self._download = ""

    # -- drawing

    def screen(self) -> Group:
        """What is to be seen now; at most as many lines as the terminal has."""
        height = max(self._console.size.height - 1, 1)
        with self._lock:
            now = time.monotonic()
            head = [self._title(now)]
            middle: list[Text] = []
            focus = 0
            for phase in self._phases.values():
                if phase is self._current:
                    focus = len(middle)
                middle.append(self._phase_line(phase, now))
                if phase is self._current and not phase.complete:
                    running = self._step_lines(phase, now, room=max(height - len(self._phases) - 3, 1))
                    middle += running
                    focus = len(middle) - 1
            room = height - len(head)
            # On a low terminal the output and the running step say more than what is done or waits.
            tail = self._tail_lines(min(max(room - len(middle), room // 2), room - 1))
            shown, focus = _window(middle, focus, room - len(tail))
        return Group(*head, *shown[: focus + 1], *tail, *shown[focus + 1 :])

    def _title(self, now: float) -> Text:
        total = sum(phase.total for phase in self._phases.values())
        done = sum(phase.finished for phase in self._phases.values())
        left = Text(f"Building {self._image}" if self._image else "Preparing", style="bold")
        if total:
            width = 20 if self._console.size.width >= 60 else 8
            filled = min(width * done // total, width)
            left.append("  ")
            left.append(self._marks.full * filled, style="not bold green")
            left.append(
                self._marks.full * (width - filled) if self._marks is not ASCII else "-" * (width - filled),
                style="not bold dim",
            )
            left.append(f" {done}/{total}", style="not bold")
        return self._aligned(left, clock(now - self._begun))

    def _phase_line(self, phase: _Phase, now: float) -> Text:
        if phase.failed:
            mark, style = self._marks.failed, "red"
        elif phase.complete:
            mark, style = self._marks.done, "green"
        elif phase is self._current:
            mark, style = self._spin(now), "cyan"
        else:
            mark, style = self._marks.waiting, "dim"
        line = Text("  ").append(mark, style=style).append(f" {phase.name}", style="dim" if style == "dim" else "")
        if not phase.begun:
            return self._aligned(line, "")
        if phase.total > 1 and not phase.complete:
            line.append(f" {phase.finished}/{phase.total}", style="dim")
        return self._aligned(line, seconds_of(phase.seconds if phase.complete else now - phase.begun))

    def _step_lines(self, phase: _Phase, now: float, *, room: int) -> list[Text]:
        lines = []
        for step in phase.steps[-room:]:
            mark = {
                "": (self._spin(now), "cyan"),
                "done": (self._marks.done, "green"),
                "failed": (self._marks.failed, "red"),
                "cached": (self._marks.cached, "green"),
            }[step.status]
            line = Text("      ").append(mark[0], style=mark[1]).append(f" {step.name}")
            line.append(f" {step.flavour}", style="dim")
            if not step.status and self._download:
                line.append(f"  {self._download}", style="cyan")
            elif step.summary:
                line.append(f"  {step.summary}", style="dim")
            lines.append(self._aligned(line, seconds_of(step.seconds if step.status else now - step.begun)))
        return lines

    def _tail_lines(self, room: int) -> list[Text]:
        if room <= 0:
            return []
        lines = []
        for line in list(self._tail)[-room:]:
            text = Text(f"        {self._marks.bar} {line}", style="dim", no_wrap=True, overflow="ellipsis")
            text.truncate(max(self._console.size.width - 1, 10), overflow="ellipsis")
            lines.append(text)
        return lines

    def _spin(self, now: float) -> str:
        return self._marks.spinner[int(now * 8) % len(self._marks.spinner)]

    def _aligned(self, left: Text, right: str) -> Text:
        return aligned(left, right, self._console.size.width)


def aligned(left: Text, right: str, columns: int) -> Text:
    """``left`` cut to the terminal, ``right`` at its edge; on wide terminals not too far away."""
    width = min(columns - 1, 100)
    room = max(width - len(right) - 1, 8)
    left.truncate(room, overflow="ellipsis", pad=True)
    left.no_wrap, left.overflow = True, "crop"
    return left.append(f" {right}", style="dim")


def _window(lines: list[Text], focus: int, room: int) -> tuple[list[Text], int]:
    """The lines around ``focus`` that fit into ``room``, and where the focus is among them."""
    first = max(0, min(focus - room // 2, len(lines) - room))
    return lines[first : first + room], focus - first
