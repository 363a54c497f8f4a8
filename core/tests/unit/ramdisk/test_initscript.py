"""``/init`` is one shell script, in which an error can be placed in the flavour's own file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from imagewright.ramdisk.initscript import Fragment, Pieces, joined, shipped

PIECES = Pieces(
    functions='fragment() {\n    echo "fragment $1 $2"\n}\n',
    start="# a start\nset -e\n",
    end='echo "end"',
)


def run(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "init"
    script.write_text(text)
    return subprocess.run(["busybox", "sh", str(script)], capture_output=True, text=True, check=False)


def test_the_pieces_run_in_order_in_one_shell(tmp_path: Path) -> None:
    fragments = [
        Fragment(flavour="one", content="shared=kept", variables={"ONE_NAME": "a 'quoted'\nvalue $HOME"}),
        Fragment(flavour="two", content='#!/bin/sh\r\necho "$shared $INIT_TIMEOUT"\r\nprintf "%s\\n" "$ONE_NAME"\r\n'),
    ]
    text = joined(PIECES, fragments, {"INIT_TIMEOUT": "60"})
    assert text.startswith("#!/bin/sh\nINIT_TIMEOUT=60\n")
    done = run(text, tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("fragment one ")
    assert lines[1].startswith("fragment two ")
    assert lines[2:] == ["kept 60", "a 'quoted'", "value $HOME", "end"]


def test_the_line_of_a_fragment_is_the_one_before_its_first(tmp_path: Path) -> None:
    fragments = [
        Fragment(flavour="one", content="true\ntrue\n", variables={"ONE": "1\n2"}),
        Fragment(flavour="two", content="true\nno-such-command\n"),
    ]
    text = joined(PIECES, fragments, {})
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith("fragment "):
            assert line.split()[2] == str(number)
    start = next(number for number, line in enumerate(lines, start=1) if line.startswith("fragment two"))
    assert lines[start + 1] == "no-such-command"
    done = run(text, tmp_path)
    assert done.returncode == 127
    assert f"line {start + 2}" in done.stderr


def test_what_ships_is_a_script_that_the_shell_takes(tmp_path: Path) -> None:
    script = tmp_path / "init"
    script.write_text(joined(shipped(), [Fragment(flavour="probe", content="true")], {"INIT_TIMEOUT": "1"}))
    subprocess.run(["busybox", "sh", "-n", str(script)], check=True)
