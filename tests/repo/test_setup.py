"""What the set-up says where it cannot do its work: one sentence and the next command."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def copy(top: Path) -> Iterator[Path]:
    """A checkout that lacks everything, which anybody may read; pytest's own folders are for its user alone."""
    outer = Path(tempfile.mkdtemp(prefix="imagewright-setup-"))
    outer.chmod(0o755)
    folder = outer / "checkout"
    (folder / "scripts" / "host-packages").mkdir(parents=True)
    (folder / "scripts" / "setup").write_bytes((top / "scripts" / "setup").read_bytes())
    for name in ("debian", "ubuntu"):
        (folder / "scripts" / "host-packages" / f"{name}.txt").write_text("no-such-package-as-this # a test\n")
    (folder / "requirements-dev.txt").write_text("no-such-distribution-as-this-one\n")
    (folder / "pyproject.toml").write_text("[dependency-groups]\ndev = []\n")
    yield folder
    shutil.rmtree(outer)


def run(folder: Path, *arguments: str, path: str = "/usr/bin:/bin", uid: int | None = None) -> tuple[int, str]:
    """The exit status and everything that is said."""
    environment = {"PATH": path, "HOME": "/nonexistent", "PIP_INDEX_URL": "file:///nonexistent", "PIP_RETRIES": "0"}
    result = subprocess.run(
        ["/bin/bash", folder / "scripts" / "setup", *arguments],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment, cwd="/", user=uid,
    )  # fmt: skip
    return result.returncode, result.stdout


def test_without_sudo_it_says_what_root_has_to_run(copy: Path) -> None:
    programs = copy.parent / "bin"
    programs.mkdir()
    for folder in (Path("/usr/bin"), Path("/bin")):
        for program in folder.iterdir():
            if program.name != "sudo" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    status, said = run(copy, path=str(programs), uid=NOBODY if os.getuid() == 0 else None)
    assert status == 4
    assert "setup: installing them needs root, and sudo is not here" in said
    assert "hint: as root run: apt-get install --no-install-recommends no-such-package-as-this" in said


def test_a_package_index_out_of_reach_is_one_message_and_nothing_is_taken_for_finished(copy: Path) -> None:
    for _ in range(2):
        status, said = run(copy, "--no-packages")
        assert status == 4
        assert "hint: is a package index within reach?" in said
        assert "Traceback" not in said


def test_an_unknown_argument_is_refused(copy: Path) -> None:
    status, said = run(copy, "--packages")
    assert status == 4
    assert "unknown argument --packages" in said
