"""Text for people, in columns that fit."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from imagewright.cli.tables import table, terms

BIN = Path(sys.executable).parent


def test_columns_are_aligned_and_the_last_is_not_padded():
    assert table(("A", "LONG"), [("x", "y"), ("long", "z")]) == "A     LONG\nx     y\nlong  z\n"
    assert table(("", ""), []) == ""


@pytest.mark.parametrize("words", ["flavours list", "flavours show debian"])
def test_what_people_read_on_a_narrow_terminal_fits_it(words):
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = subprocess.Popen(
        [BIN / "imagewright", *words.split()], stdout=terminal, env={"PATH": os.environ["PATH"], "TERM": "xterm"}
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(controller, 10_000):
            shown += part
    except OSError:  # what reading from a terminal without writers gives
        pass
    os.close(controller)
    assert process.wait() == 0
    # a README's own lines are not wrapped
    lines = shown.decode().replace("\r", "").partition("\n# ")[0].splitlines()
    assert len(lines) > 10
    assert [line for line in lines if len(line) > 80] == []


def test_a_name_that_is_wider_than_its_column_is_parted_at_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    rows = [("block-device", "10-mmdebstrap", "one two x-y abcdefghijklm")]
    monkeypatch.setenv("COLUMNS", "37")
    assert table(("PHASE", "STEP", "WHAT"), rows) == (
        "PHASE       STEP        WHAT\nblock-      10-         one two x-y\ndevice      mmdebstrap  abcdefghijklm\n"
    )
    monkeypatch.setenv("COLUMNS", "28")
    assert table(("PHASE", "STEP", "WHAT"), rows) == (
        "PHASE   STEP       WHAT\n"
        "block-  10-        one two\n"
        "device  mmdebstra  x-y\n"
        "        p          abcdefghi\n"
        "                   jklm\n"
    )


def test_a_term_has_its_meaning_beside_it_and_a_long_one_below():
    text = terms([("a", "one two three four"), ("quite-a-long-term", "five-six-seven")], 24)
    assert text == (
        "  a         one two\n"
        "            three four\n"
        "  quite-a-long-term\n"
        "            five-six-seven\n"
    )  # fmt: skip
