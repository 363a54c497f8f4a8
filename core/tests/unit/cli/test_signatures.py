from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.cli import app
from imagewright.cli.options.settings import SETTINGS
from imagewright.cli.programs import PROGRAMS


def every_command():
    """All commands that are no groups, by the words that call them."""

    def walk(command, words):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words, command
        else:
            for name, one in inner.items():
                yield from walk(one, [*words, name])

    for name in (*(program.name for program in PROGRAMS), "imagewright"):
        yield from walk(app.command_of(name), [name])


COMMANDS = {" ".join(words): command for words, command in every_command()}


def run(words, *, environment=None, cwd=None):
    program, *arguments = words
    return subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "dumb", **(environment or {})},
        cwd=cwd,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_variable(name):
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and parameter.name not in ("version", "help"):
            wanted = f"IMAGEWRIGHT_{parameter.name.rstrip('_').upper()}"
            assert wanted in parameter.envvar, parameter.name
            assert wanted in parameter.help


def test_help_shows_both_variables_of_an_option_and_its_default():
    text = " ".join(run(["disk-image-create", "--help"]).stdout.split())
    assert "[default: ext4; env: IMAGEWRIGHT_FS_TYPE, FS_TYPE]" in text
    assert "-t, --type TYPE" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_has_a_short_and_a_long_flag(name):
    short, long = (run([*name.split(), flag]) for flag in ("-h", "--help"))
    assert short.stdout == long.stdout
    assert short.returncode == 0
    assert not short.stderr
    assert max(map(len, short.stdout.splitlines())) <= 80


def test_no_flag_stands_for_two_options():
    for command in COMMANDS.values():
        flags = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
        assert len(flags) == len(set(flags))


def test_no_variable_stands_for_two_options():
    variables = [variable for setting in SETTINGS.values() for variable in setting.variables]
    assert len(variables) == len(set(variables))


def test_options_may_stand_after_the_flavours():
    result = run(["disk-image-create", "nonesuch", "--plan", "-t", "rw"])
    assert "`rw`" in result.stderr
    assert result.returncode == 2


def test_after_two_dashes_everything_is_a_flavour():
    result = run(["disk-image-create", "--plan", "--", "--offline"])
    assert result.returncode == 3
    assert "`--offline`" in result.stderr


@pytest.mark.parametrize("words", [["disk-image-create", "x", "--version"], ["disk-image-create", "--version"]])
def test_version_is_printed_wherever_it_stands(words):
    assert run(words).stdout.startswith("disk-image-create ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_that_is_dear(name):
    banned = {"asyncio", "httpx", "importlib.metadata", "pluggy", "rich.live", "rich.markdown", "stevedore", "tomllib"}
    program, *arguments = name.split()
    code = f"""
import sys
from imagewright.cli import main
sys.argv = {[program, *arguments, "--help"]!r}
try:
    main.{program.replace("-", "_")}()
except SystemExit as ended:
    assert not ended.code
sys.stderr.write(" ".join(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not banned & set(result.stderr.split())
    assert "typer" in result.stderr.split()
