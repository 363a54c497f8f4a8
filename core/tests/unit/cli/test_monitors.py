from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright import events
from imagewright.cli.render.choose import Monitors, chosen
from imagewright.cli.render.durations import clock, seconds_of, size
from imagewright.cli.render.jsonl import LONGEST, JsonMonitor
from imagewright.cli.render.lines import printable
from imagewright.cli.render.log import LogMonitor
from imagewright.cli.render.plain import PlainMonitor

BUILD = (
    events.BuildStarted(image="demo", phases=(("root", 1), ("install", 2)), log=Path("/var/log/demo.log")),
    events.StepStarted(phase="root", step="10-unpack", flavour="debian", number=1, total=1, summary="unpacks it"),
    events.Downloaded(name="base.tar", done=2**20, total=2**22),
    events.Output(line="[bold]not markup[/bold] \x1b[31mred\x1b[0m"),
    events.StepFinished(phase="root", step="10-unpack", status="done", seconds=1.25),
    events.FactFound(name="kernel", value="6.12"),
    events.StepStarted(phase="install", step="10-first", flavour="vm", number=1, total=2),
    events.Notice(message="look at [this]", level="warning"),
    events.StepFinished(phase="install", step="10-first", status="cached", seconds=0.0),
    events.StepStarted(phase="install", step="20-second", flavour="vm", number=2, total=2),
    events.StepFinished(phase="install", step="20-second", status="failed", seconds=0.5),
    events.BuildFinished(paths=(Path("demo.qcow2"),), seconds=2.0),
)

PLAYER = """
import os, sys, time
from pathlib import Path
from imagewright import events
from imagewright.events import *
from imagewright.cli.render.choose import display
with display(sys.argv[1], os.environ) as monitor:
    monitor.handle(BuildStarted(image="demo", phases=(("root", 1), ("install", 12), ("finalise", 0)), log=Path("/l")))
    for number in range(1, 13):
        monitor.handle(StepStarted(phase="install", step=f"{number:02}-step", flavour="vm", number=number, total=12))
        for line in range(12):
            monitor.handle(Output(line="[bold]line[/bold] " + "x" * 200 + "\\x1b[2J"))
        time.sleep(0.2 if number < 5 else 0.02)
        monitor.handle(Notice(message=f"note {number}"))
        monitor.handle(StepFinished(phase="install", step=f"{number:02}-step", status="done", seconds=0.2))
    monitor.handle(BuildFinished(paths=(), seconds=3.0))
print("demo.qcow2")
"""


def on_terminal(progress: str, *, columns: int = 80, rows: int = 24, **variables: str) -> tuple[str, str]:
    """What a build shows on stderr, a terminal of that size, and on stdout, a pipe."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                some = os.read(controller, 65536)
            except OSError:
                return
            if not some:
                return
            shown.append(some)

    reader = threading.Thread(target=read)
    process = subprocess.Popen(
        [sys.executable, "-c", PLAYER, progress],
        stderr=terminal,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", **variables},
    )
    os.close(terminal)
    reader.start()
    output, _ = process.communicate(timeout=60)
    reader.join(timeout=60)
    os.close(controller)
    assert process.returncode == 0
    return b"".join(shown).decode(), output


@pytest.mark.parametrize(
    ("tty", "variables", "expected"),
    [
        (True, {"TERM": "xterm"}, "rich"),
        (True, {"TERM": "dumb"}, "plain"),
        (True, {}, "plain"),
        (True, {"TERM": "xterm", "CI": "true"}, "plain"),
        (True, {"TERM": "xterm", "CI": ""}, "rich"),
        (False, {"TERM": "xterm"}, "plain"),
    ],
)
def test_auto_means_rich_for_a_person_at_a_terminal(tty, variables, expected):
    class Stream(io.StringIO):
        def isatty(self):
            return tty

    assert chosen("auto", Stream(), variables) == expected
    assert chosen("none", Stream(), variables) == "none"


def test_rich_draws_on_the_terminal_and_leaves_stdout_alone():
    shown, output = on_terminal("auto")
    assert output == "demo.qcow2\n"
    assert "\x1b[?25l" in shown  # the cursor goes
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # and comes back
    assert "install" in shown
    assert "01-step" in shown
    assert "[bold]line[/bold]" in shown  # output is never markup
    assert "\x1b[2J" not in shown  # nor may it clear the screen
    assert "built demo in 3.0 s" in shown
    assert "finalise" not in shown  # a phase without steps
    assert all(f"note {number}" in shown for number in range(1, 13))


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (20, 5), (10, 3), (40, 8), (300, 100)])
def test_no_line_is_wider_than_the_terminal_and_no_screen_is_higher(columns, rows):
    shown, _ = on_terminal("rich", columns=columns, rows=rows)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\x00", shown)
    for line in re.split(r"[\r\n]+", text):
        assert len(line.replace("\x00", "")) <= columns
    climbs = re.findall(r"(?:\x1b\[1A\x1b\[2K)+", shown)
    assert max(climb.count("\x1b[1A") for climb in climbs) < rows


def test_no_color_takes_the_colours_and_leaves_the_movement():
    coloured, _ = on_terminal("rich")
    plain, _ = on_terminal("rich", NO_COLOR="1")
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
    assert colour.search(coloured)
    assert not colour.search(plain)
    assert "\x1b[?25l" in plain


def test_a_terminal_without_unicode_gets_ascii():
    shown, _ = on_terminal("rich", LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "install" in shown
    assert shown.isascii() or "…" in shown


def test_plain_is_one_line_an_event_without_codes_even_on_a_terminal():
    shown, output = on_terminal("plain")
    assert "\x1b" not in shown
    assert output == "demo.qcow2\n"
    assert "xxx" not in shown


def test_plain_names_every_step_and_its_end():
    stream = io.StringIO()
    monitor = PlainMonitor(stream)
    for event in BUILD:
        monitor.handle(event)
    lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert lines == [
        "building demo, log /var/log/demo.log",
        "root/10-unpack (debian) 1 of 1: unpacks it",
        "download base.tar 1.0 MiB of 4.0 MiB",
        "root/10-unpack done after 1.2 s",
        "kernel: 6.12",
        "install/10-first (vm) 1 of 2",
        "warning: look at [this]",
        "install/10-first cached after 0.0 s",
        "install/20-second (vm) 2 of 2",
        "install/20-second failed after 0.5 s",
        "done in 2.0 s",
    ]
    assert all(re.match(r"\[ +\d+:\d\d\] ", line) for line in stream.getvalue().splitlines())


def test_json_is_one_object_an_event_and_says_its_schema_once():
    stream = io.StringIO()
    monitor = JsonMonitor(stream)
    for event in BUILD:
        monitor.handle(event)
    documents = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(documents) == len(BUILD)
    assert [document.get("schema") for document in documents] == [1] + [None] * (len(BUILD) - 1)
    assert documents[1]["event"] == "step-started"
    assert documents[1]["flavour"] == "debian"
    assert documents[0]["phases"] == [["root", 1], ["install", 2]]
    assert documents[-1]["paths"] == ["demo.qcow2"]


def test_json_bounds_the_length_of_a_line():
    stream = io.StringIO()
    JsonMonitor(stream).handle(events.Output(line="x" * 10 * LONGEST))
    assert len(stream.getvalue()) < 2 * LONGEST


def test_the_log_holds_everything_with_its_moment():
    stream = io.StringIO()
    monitor = LogMonitor(stream)
    for event in BUILD:
        monitor.handle(event)
    text = stream.getvalue()
    assert "| [bold]not markup[/bold] \x1b[31mred\x1b[0m" in text
    assert "root/10-unpack (debian)" in text
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in text.splitlines())


def test_a_monitor_that_fails_leaves_the_others_alone():
    class Broken:
        def __init__(self):
            self.asked = 0

        def handle(self, event):
            self.asked += 1
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    broken, stream = Broken(), io.StringIO()
    monitors = Monitors(broken, PlainMonitor(stream))
    for event in BUILD:
        monitors.handle(event)
    assert broken.asked == 1
    assert "done in" in stream.getvalue()
    assert stream.getvalue().count("the screen takes no more: broken pipe") == 1


@given(st.text())
def test_a_printable_line_holds_no_control_characters(text):
    shown = printable(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("10%\r50%\r100%\n", "100%"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\tb", "a       b"),
        ("ab\x08c\x07", "abc"),
        ("two\nlines\n", "two lines"),
        ("file\u202egpj.exe", "filegpj.exe"),
    ],
)
def test_what_a_program_does_to_a_terminal_is_left_out(line, shown):
    assert printable(line) == shown


def test_times_and_sizes_are_short():
    assert [clock(one) for one in (0, 59.9, 61, 3723)] == ["0:00", "0:59", "1:01", "1:02:03"]
    assert [seconds_of(one) for one in (0, 59.94, 59.96, 61)] == ["0.0 s", "59.9 s", "0:59", "1:01"]
    assert [size(one) for one in (5, 2048, 3 * 2**20, 5 * 2**30)] == ["5 B", "2.0 KiB", "3.0 MiB", "5.0 GiB"]
