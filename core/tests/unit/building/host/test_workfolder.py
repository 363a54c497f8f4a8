"""The work folder while a build has it: the caller's and their namespace's, and nobody else's."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from imagewright.building.host.workfolder import work_folder

STRANGER = 61_234
"""An id that no account has."""


def test_nobody_but_the_caller_and_root_inside_may_enter(tmp_path: Path) -> None:
    with work_folder(tmp_path) as (folder, _):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o707 == 0o700
        if os.getuid() != 0:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may try it as somebody else")
def test_a_setuid_program_of_the_tree_is_out_of_a_strangers_reach() -> None:
    # pytest's own folders are closed to strangers already
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        os.chmod(parent, 0o755)
        with work_folder(Path(parent)) as (folder, _):
            program = folder / "layers" / "program"
            program.write_text("#!/bin/sh\necho reached\n")
            program.chmod(0o4755)
            for words, reached in ((["ls", parent], True), ([program], False)):
                done = subprocess.run(
                    ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", *words],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert (done.returncode == 0) is reached, done
