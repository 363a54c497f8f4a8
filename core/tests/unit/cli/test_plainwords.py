"""What is read without typer is what typer reads."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.cli import app, invoking
from imagewright.cli.options.kinds import Kind
from imagewright.cli.plainwords import Words, read
from imagewright.cli.programs import DISK_IMAGE_GET_KERNEL, PROGRAMS, Program
from typer.exceptions import TyperException

COMMANDS = {program.name: app.command_of(program.name) for program in PROGRAMS}


class Taken(Exception):
    """Ends a command before its body, with what it was given."""

    def __init__(self, **words: Any) -> None:
        super().__init__()
        self.words = words


def by_typer(program: Program, argv: list[str]) -> Words | None:
    """What typer reads, or None where it has something to say itself."""

    def take(*_: Any, flags: Any, arguments: Any, **__: Any) -> None:
        raise Taken(flags=flags, arguments=arguments)

    before, invoking.invoke = invoking.invoke, take
    try:
        with COMMANDS[program.name].make_context(program.name, list(argv)) as ctx:
            COMMANDS[program.name].invoke(ctx)
    except Taken as taken:
        return Words(**taken.words)
    except TyperException:
        return None
    finally:
        invoking.invoke = before
    raise AssertionError("the body was not called")


def words_of(program: Program) -> st.SearchStrategy[list[str]]:
    """Command lines of words that may be known, in forms that may be unusual."""
    values = st.sampled_from(["web", "a,b", "", "x.y=1", "-", "--", "-x", "--plan", "two words", "ü"])
    pieces: list[st.SearchStrategy[list[str]]] = [values.map(lambda value: [value])]
    for setting in program.settings:
        for flag in filter(None, (setting.flag, setting.short)):
            if setting.kind is Kind.SWITCH:
                pieces.append(st.sampled_from([[flag], [setting.negative], [f"{flag}=1"]]))
            else:
                pieces.append(values.map(lambda value, flag=flag: [flag, value]))
                pieces.append(values.map(lambda value, flag=flag: [f"{flag}={value}"]))
                pieces.append(values.map(lambda value, flag=flag: [flag + value]))
    return st.lists(st.one_of(pieces), max_size=5).map(lambda found: [word for words in found for word in words])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_it_reads_what_typer_reads_or_leaves_it_to_typer(program, data):
    argv = data.draw(words_of(program))
    plain = read(program, argv)
    if plain is not None:
        found = by_typer(program, argv)
        assert found is not None
        assert plain.flags == found.flags
        assert plain.arguments == {name: value for name, value in found.arguments.items() if name != "version"}


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--help"],
        ["-h"],
        ["web.qcow2", "--version"],
        ["web.qcow2", "other.qcow2"],
        ["web.qcow2", "--unknown"],
        ["web.qcow2", "--output"],
        ["web.qcow2", "--outp", "x"],
        ["--", "web.qcow2"],
    ],
    ids=" ".join,
)
def test_what_is_unusual_is_left_to_typer(argv):
    assert read(DISK_IMAGE_GET_KERNEL, argv) is None


def test_a_plain_command_line_needs_no_typer(tmp_path):
    script = (
        "import sys\n"
        "from imagewright.cli.main import _run\n"
        "code = _run('disk-image-get-kernel', ['nothing.qcow2', '-o', 'x', '--json'])\n"
        "sys.exit(code if 'typer' not in sys.modules else 99)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert "there is no image nothing.qcow2" in done.stdout + done.stderr
