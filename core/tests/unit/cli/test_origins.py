"""A value that is refused later than it is read names where it came from; a variable that means nothing is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.cli.options.origins import name_source
from imagewright.cli.options.resolve import resolve
from imagewright.cli.options.sets import DISK_IMAGE
from imagewright.errors import UsageError

BIN = Path(sys.executable).parent


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    home = {"HOME": str(cwd / "home"), "XDG_CACHE_HOME": str(cwd / "cache"), "XDG_CONFIG_HOME": str(cwd / "config")}
    return subprocess.run(
        [BIN / words[0], *words[1:]],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "TERM": "dumb", **home, **variables},
    )


LATE = [
    ("IMAGEWRIGHT_TYPE", "qcow"),
    ("IMAGE_TYPE", "qcow"),
    ("IMAGE_TYPE", ","),
    ("IMAGEWRIGHT_OUTPUT", "."),
    ("IMAGE_NAME", "."),
    ("IMAGEWRIGHT_RELEASE", "nowhere"),
    ("RELEASE", "nowhere"),
    ("FLAVOURS_PATH", "/nonexistent"),
    ("IMAGEWRIGHT_SKIP", "vm:install/10-nothing"),
    ("IMAGEWRIGHT_SET", "vm.nothing=1"),
    ("IMAGEWRIGHT_SET", "other.nothing=1"),
    ("IMAGEWRIGHT_SET", "debian.documentation=perhaps"),
]


@pytest.mark.parametrize(("variable", "value"), LATE)
def test_a_value_that_is_refused_late_names_its_variable(tmp_path, variable, value):
    done = run("disk-image-create", "--plan", "debian", "vm", cwd=tmp_path, **{variable: value})
    assert done.returncode in (2, 3), done.stderr
    assert f"comes from the environment variable {variable}\n" in done.stderr
    assert done.stdout == ""


def test_the_default_operating_system_names_its_variable(tmp_path):
    done = run("disk-image-create", "--plan", "vm", cwd=tmp_path, IMAGEWRIGHT_OPERATING_SYSTEM="nothing")
    assert "--operating-system comes from the environment variable IMAGEWRIGHT_OPERATING_SYSTEM" in done.stderr


@pytest.mark.parametrize(
    "line",
    ['type = "qcow"', 'output = "."', 'release = "nowhere"', 'skip = "vm:install/10-nothing"', "[set.vm]\nnothing = 1"],
)
def test_a_value_that_is_refused_late_names_its_file(tmp_path, line):
    (tmp_path / "imagewright.toml").write_text(line)
    done = run("disk-image-create", "--plan", "debian", "vm", cwd=tmp_path)
    assert done.returncode in (2, 3), done.stderr
    assert f"comes from {tmp_path / 'imagewright.toml'}\n" in done.stderr


def test_all_sources_of_joined_values_are_named(tmp_path):
    done = run(
        "disk-image-create", "--plan", "debian", "--set", "debian.components=main", cwd=tmp_path,
        IMAGEWRIGHT_SET="debian.nothing=1",
    )  # fmt: skip
    assert "--set comes from the command line and the environment variable IMAGEWRIGHT_SET\n" in done.stderr


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            "`--kernel-args x` is too long",
            ["--kernel-args comes from the environment variable IMAGEWRIGHT_KERNEL_ARGS"],
        ),
        ("`--kernel-argsx` is no option, nor is x--kernel-args", []),
        ("the kernel arguments are too long", []),
    ],
)
def test_an_error_without_an_option_is_about_the_flags_in_its_message(message, named):
    values = resolve(DISK_IMAGE, flags={}, environment={"IMAGEWRIGHT_KERNEL_ARGS": "x"})
    error = UsageError("too-long", message)
    name_source(error, values)
    assert list(error.where) == named


def test_what_stands_on_the_command_line_needs_no_source(tmp_path):
    done = run("disk-image-create", "--plan", "debian", "-t", "qcow", cwd=tmp_path, IMAGE_TYPE="raw")
    assert "did you mean `qcow2`?" in done.stderr
    assert "comes from" not in done.stderr


# -- variables that set nothing


def test_an_unknown_variable_is_said_once_on_stderr_with_the_nearest(tmp_path):
    done = run("imagewright", "config", "show", "--json", cwd=tmp_path, IMAGEWRIGHT_RELEESE="4", IMAGEWRIGHT_ZZZ="1")
    assert done.returncode == 0
    json.loads(done.stdout)
    assert done.stderr.splitlines() == [
        "warning: the environment variable `IMAGEWRIGHT_RELEESE` sets nothing; did you mean `IMAGEWRIGHT_RELEASE`?",
        "warning: the environment variable `IMAGEWRIGHT_ZZZ` sets nothing; `imagewright config show` lists all options",
    ]


def test_variables_of_options_of_parameters_and_of_the_tests_are_known(tmp_path):
    (tmp_path / "path" / "my-web" / "install.d").mkdir(parents=True)
    known = {
        "IMAGEWRIGHT_UEFI": "1",
        "IMAGEWRIGHT_DEBIAN_COMPONENTS": "main",
        "IMAGEWRIGHT_MY_WEB_PORT": "80",
        "IMAGEWRIGHT_TEST_IMAGE": "x",
        "IMAGEWRIGHT_NOTHING": "",
        "IMAGEWRIGHT_NEWCOMER_REPORT": "x",
        "FLAVOURS_PATH": str(tmp_path / "path"),
    }
    assert run("imagewright", "flavours", "list", cwd=tmp_path, **known).stderr == ""


def test_where_progress_is_json_the_warning_is_an_event(tmp_path):
    done = run("disk-image-create", "--plan", "debian", "--progress", "json", cwd=tmp_path, IMAGEWRIGHT_IMAGE_SISE="4")
    (event,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (event["event"], event["level"]) == ("notice", "warning")
    assert "IMAGEWRIGHT_IMAGE_SISE" in event["message"]
