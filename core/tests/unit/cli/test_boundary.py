from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.cli import messages
from imagewright.errors import ContractError, HostError, ImagewrightError, PlanError, StepFailed, UsageError

BIN = Path(sys.executable).parent

COMMAND = """
import sys, time, typer
from imagewright.cli import boundary
from imagewright.errors import *

app = typer.Typer(add_completion=False)

@app.command()
def main(json: bool = False, debug: bool = False):
    try:
        {body}
    finally:
        sys.stderr.write("cleaned up\\n")

from typer.main import get_command
sys.exit(boundary.run("trial", lambda: get_command(app), sys.argv[1:]))
"""


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm", **more}


def trial(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = COMMAND.format(body=body)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment(), timeout=60
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [(ImagewrightError, 1), (StepFailed, 1), (UsageError, 2), (PlanError, 3), (HostError, 4), (ContractError, 5)],
)
def test_each_kind_of_error_has_its_exit_code_and_no_traceback(kind, code):
    result = trial(f'raise {kind.__name__}("some-kind", "it went wrong", where=("file: x",), cause="c", hint="h")')
    assert result.returncode == code
    assert result.stderr == "cleaned up\nerror: it went wrong\n  file: x\ncause: c\nhint: h\n"
    assert result.stdout == ""


def test_an_unexpected_error_is_one_message_and_a_traceback_only_on_request():
    result = trial('raise ZeroDivisionError("nought")')
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "ZeroDivisionError: nought" in result.stderr
    assert "report" in result.stderr


def test_a_full_disk_is_the_hosts_fault():
    result = trial('import errno, os; raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")')
    assert result.returncode == 4
    assert "/some/file" in result.stderr
    assert "report" not in result.stderr


LIMITED = "import resource; sys.dont_write_bytecode = True; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
"""No file may have a byte from here on; the bytecode that Python keeps for all would be cut short too."""


def test_a_file_larger_than_the_host_allows_is_the_hosts_fault(tmp_path):
    result = trial(f'{LIMITED}open({str(tmp_path / "it")!r}, "wb", buffering=0).write(b"x")')
    assert result.returncode == 4
    assert "the host allows no file of that size" in result.stderr
    assert "ulimit -f" in result.stderr
    assert "report" not in result.stderr


def test_a_host_without_a_folder_for_temporary_files_is_told_so():
    result = trial(f"{LIMITED}import tempfile; tempfile.TemporaryFile()")
    assert result.returncode == 4
    assert "no folder for temporary files" in result.stderr
    assert "TMPDIR" in result.stderr
    assert "report" not in result.stderr


def test_a_place_that_is_closed_to_the_caller_is_no_fault_of_ours():
    result = trial('import errno, os; raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/some/file")')
    assert result.returncode == 4
    assert "error: you may not use /some/file\n" in result.stderr
    assert "report" not in result.stderr


def test_a_path_that_is_too_long_is_the_callers():
    result = trial('open("/tmp/" + "x" * 300)')
    assert result.returncode == 2
    assert "error: a path is longer than the filesystem takes\n  path of 305 bytes: /tmp/xxx" in result.stderr
    assert "report" not in result.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root may enter everything")
@pytest.mark.parametrize("option", ["--output", "--cache-dir", "--work-dir", "--log-file", "--flavour-path"])
def test_a_path_below_a_closed_folder_is_said_clearly(tmp_path, option):
    (tmp_path / "closed").mkdir(mode=0)
    words = [BIN / "disk-image-create", "debian", option, tmp_path / "closed" / "inner"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(HOME=str(tmp_path)), cwd=tmp_path)
    assert done.returncode in (2, 4), done.stderr
    assert str(tmp_path / "closed") in done.stderr
    assert "unexpected" not in done.stderr


def test_errors_are_json_on_request():
    result = trial('raise HostError("no-tool", "no tool", where=("a",), hint="h")', "--json")
    document = json.loads(result.stderr.splitlines()[-1])
    assert document == {
        "schema": 1,
        "error": {
            "reference": "no-tool",
            "message": "no tool",
            "where": ["a"],
            "cause": "",
            "hint": "h",
            "exit_code": 4,
        },
    }


def _answer_signals() -> None:
    # whoever runs the tests may ignore what a terminal sends, as nohup does
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)], ids=lambda one: str(one)
)
def test_a_signal_ends_the_command_after_its_clean_up(number, code):
    body = 'sys.stdout.write("ready\\n"); sys.stdout.flush(); time.sleep(60)'
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=_answer_signals,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines() == ["cleaned up", "interrupted" if number == signal.SIGINT else "terminated"]


def test_a_second_signal_does_not_break_the_clean_up():
    body = 'sys.stdout.write("ready\\n"); sys.stdout.flush(); time.sleep(60)'
    code = COMMAND.replace('sys.stderr.write("cleaned', 'time.sleep(1); sys.stderr.write("cleaned')
    process = subprocess.Popen(
        [sys.executable, "-c", code.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.stderr.flush()
    for _ in range(5):
        process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.startswith("cleaned up")


def test_a_reader_that_goes_away_is_no_error():
    body = 'sys.stdout.write("x\\n" * 100000)'
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert errors == "cleaned up\n"


@pytest.mark.parametrize(("place", "cause"), [("/dev/full", "no space left on device"), ("&-", "it is closed")])
@pytest.mark.parametrize(
    "command",
    ["imagewright --version", "imagewright --help", "imagewright flavours list", "imagewright flavours list --json"],
)
def test_a_stdout_that_takes_nothing_is_one_clear_message(command, place, cause):
    done = subprocess.run(
        ["sh", "-c", f"{BIN}/{command} >{place}"], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 4, done.stderr
    if "--json" in command:
        assert json.loads(done.stderr)["error"]["cause"] == cause
    else:
        assert done.stderr == f"error: standard output cannot be written\ncause: {cause}\n"


@pytest.mark.parametrize("place", ["/dev/full", "&-"])
def test_a_stderr_that_takes_nothing_leaves_the_exit_code(place):
    done = subprocess.run(
        ["sh", "-c", f"{BIN}/disk-image-create 2>{place}"], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 2
    assert done.stdout == ""


def test_progress_that_nobody_took_leaves_the_exit_code():
    # a line that failed stays in the stream's buffer, and Python would end with 120 for it
    code = COMMAND.replace('sys.stderr.write("cleaned up\\n")', "pass").format(body='sys.stderr.write("half a line")')
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>/dev/full', sys.executable, code], env=environment())
    assert done.returncode == 0


def test_no_file_takes_the_number_of_a_closed_stream():
    body = 'import os; sys.stderr.write(f"{open(os.devnull).fileno()}\\n")'
    code = COMMAND.format(body=body)
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&-', sys.executable, code],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert int(done.stderr.splitlines()[0]) > 2


@pytest.mark.parametrize(
    ("words", "variables", "code", "needle"),
    [
        (["disk-image-create"], {}, 2, "no flavour was named"),
        (["disk-image-create", "--no-such-thing", "x"], {}, 2, "--no-such-thing"),
        (["disk-image-create", "x", "--offlin"], {}, 2, "did you mean `--offline`?"),
        (["disk-image-create", "x", "-a", "arm64"], {}, 2, "`amd64`"),
        (["disk-image-create", "x"], {"IMAGEWRIGHT_NO_CACHE": "perhaps"}, 2, "IMAGEWRIGHT_NO_CACHE"),
        (["disk-image-create", "x", "-o", "/"], {}, 2, "names a folder"),
        (["disk-image-create", "x", "-o", ".qcow2"], {}, 2, "no name"),
        (["disk-image-create", "x", "-t", "qcow"], {}, 2, "did you mean `qcow2`?"),
        (["disk-image-create", "x", "--plan", "--flavour-path", "/nonexistent"], {}, 2, "/nonexistent"),
        (["disk-image-create", "no-such-flavour", "--plan"], {}, 3, "`no-such-flavour`"),
        (["disk-image-create", "x", "--log-file", "/nonexistent/log"], {}, 4, "/nonexistent/log"),
        (["imagewright", "flavours"], {}, 2, "missing command"),
        (["imagewright", "flavours", "show"], {}, 2, "which flavour?"),
        (["imagewright", "completion", "tcsh"], {}, 2, "tcsh"),
    ],
)
def test_bad_input_is_one_clear_message(tmp_path, words, variables, code, needle):
    result = subprocess.run(
        [BIN / words[0], *words[1:]],
        capture_output=True,
        text=True,
        env=environment(XDG_CACHE_HOME=str(tmp_path / "cache"), **variables),
        cwd=tmp_path,
    )
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("error: ")
    assert needle in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_the_project_file_is_an_error_of_every_command_with_options(tmp_path):
    (tmp_path / "imagewright.toml").write_text("flavor-path = []")
    for words in (["disk-image-create", "x"], ["imagewright", "flavours", "list"], ["imagewright", "config", "show"]):
        result = subprocess.run(
            [BIN / words[0], *words[1:]], capture_output=True, text=True, env=environment(), cwd=tmp_path
        )
        assert result.returncode == 2
        assert "did you mean `flavour-path`?" in result.stderr


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_errors_are_coloured_for_people_who_want_it(variables, coloured):
    controller, terminal = pty.openpty()
    subprocess.run([BIN / "disk-image-create"], stderr=terminal, env=environment(**variables), check=False)
    os.close(terminal)
    shown = os.read(controller, 10_000).decode()
    os.close(controller)
    assert ("\x1b[" in shown) is coloured
    assert "no flavour was named" in shown


def test_lines_of_a_place_are_all_indented():
    error = StepFailed("step-failed", "it failed", where=("a\nb",), cause="c\nd")
    assert messages.render(error) == "error: it failed\n  a\n  b\ncause: c\n  d\n"


def test_what_a_script_printed_moves_no_cursor_in_a_message():
    error = StepFailed(
        "step-failed", "it \x1b[2Jfailed", where=("| \x1b[31mred\x1b[2J \x00\a",), cause="c\x1b[H", hint="h\b"
    )
    assert messages.render(error) == "error: it failed\n  | red \ncause: c\nhint: h\n"
