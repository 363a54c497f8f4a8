"""Small trees, and a way to do things as root without being it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EPOCH = 1_700_000_000
OLD = 1_600_000_000


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a small root tree, if wished in the opposite order."""

    def make(name: str, *, backwards: bool = False) -> Path:
        root = tmp_path / name
        names = [f"usr/share/d{folder}/file-{number}" for folder in range(4) for number in range(60)]
        for path in reversed(names) if backwards else names:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(path * 50)
            os.utime(file, (OLD, OLD))
        (root / "etc").mkdir()
        (root / "etc/new").write_text("younger than the epoch")
        (root / "etc/old").write_text("older than the epoch")
        os.utime(root / "etc/old", (OLD, OLD))
        (root / "etc/setuid").write_text("x")
        (root / "etc/setuid").chmod(0o4711)
        (root / "etc/hard").hardlink_to(root / "usr/share/d1/file-3")
        (root / "etc/short").symlink_to("old")
        (root / "etc/long").symlink_to("x" * 200)
        os.mkfifo(root / "etc/fifo")
        os.setxattr(root / "etc/old", "user.note", b"\xff\x00 bytes")
        with (root / "etc/sparse").open("wb") as file:
            file.seek(40 << 20)
            file.write(b"end")
        root.chmod(0o750)
        return root

    return make


@pytest.fixture
def as_root() -> Callable[..., str]:
    """A function that runs Python source as root, mapped if need be, and returns what it prints.

    ``owners``: it may give files to others. ``mounts``: it may mount.
    """

    def run(source: str, *arguments: str, owners: bool = False, mounts: bool = False) -> str:
        prefix: list[str] = []
        if os.geteuid() != 0:
            prefix = ["unshare", "--map-root-user", "--mount", *(["--map-auto"] if owners else [])]
        elif mounts:
            prefix = ["unshare", "--mount"]
        if prefix and (
            shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode
        ):
            pytest.skip("the host allows no namespaces")
        done = subprocess.run([*prefix, sys.executable, "-c", source, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def debugfs() -> Callable[..., str]:
    """A function that asks debugfs about a filesystem in a file."""

    def ask(disk: Path, request: str, offset: int = 0) -> str:
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        argv = ["debugfs", "-R", request, f"{disk}?offset={offset}"]
        return subprocess.run(
            argv, capture_output=True, text=True, check=True, env={"PATH": path, "TZ": "UTC", "LC_ALL": "C"}
        ).stdout

    return ask


@pytest.fixture
def check() -> Callable[..., None]:
    """A function that runs a checking program of /usr/sbin, which must be content."""

    def run(*argv: str) -> None:
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        program = shutil.which(argv[0], path=path)
        if program is None:
            pytest.skip(f"the host has no {argv[0]}")
        done = subprocess.run([program, *argv[1:]], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        if argv[0] == "sgdisk":
            assert "No problems found" in done.stdout
            assert "Warning" not in done.stdout

    return run
