"""The init's functions under busybox, and whole /inits as process 1 of namespaces of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.ramdisk import initscript

HERE = Path(__file__).parent
BUSYBOX = shutil.which("busybox") or "busybox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a piece of shell did."""

    status: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs shell with the functions of the init, over trees of the test's own; every program is busybox's."""

    root: Path
    programs: Path

    def file(self, path: str, content: str | bytes = "") -> Path:
        """Write a file of the trees: ``sys/…``, ``proc/…``, ``dev/…``."""
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content if isinstance(content, bytes) else content.encode())
        return where

    def disk(self, name: str, partitions: tuple[str, ...] = (), **attributes: str) -> None:
        """Make a disk in /sys as the kernel lays it out: class links into the devices."""
        device = self.root / "sys/devices/pci0/block" / name
        attributes = {"size": "2048000", "removable": "0", "ro": "0"} | attributes
        for attribute, value in attributes.items():
            self.file(f"sys/devices/pci0/block/{name}/{attribute}", value + "\n")
        if not name.startswith(("dm-", "md", "loop")):
            (device / "device").mkdir()
        for number, partition in enumerate(partitions, start=1):
            self.file(f"sys/devices/pci0/block/{name}/{partition}/partition", f"{number}\n")
            self.file(f"sys/devices/pci0/block/{name}/{partition}/size", "2048\n")
        folder = self.root / "sys/class/block"
        folder.mkdir(parents=True, exist_ok=True)
        for entry, target in ((name, device), *((partition, device / partition) for partition in partitions)):
            (folder / entry).symlink_to(target)

    def run(self, script: str, *, variables: Mapping[str, str] | None = None, shell: str = "sh") -> Ran:
        """Run a script; a hang is a failure."""
        for name in ("proc", "sys", "dev", "run"):
            (self.root / name).mkdir(exist_ok=True)
        text = initscript.shipped().functions + script
        environment = {
            "PATH": str(self.programs),
            "INIT_PROC": str(self.root / "proc"),
            "INIT_SYS": str(self.root / "sys"),
            "INIT_DEV": str(self.root / "dev"),
            "INIT_RUN": str(self.root / "run"),
            **(variables or {}),
        }
        done = subprocess.run(
            [BUSYBOX, shell, "-c", text], env=environment, cwd=self.root, capture_output=True, timeout=60, check=False
        )
        return Ran(
            status=done.returncode,
            output=done.stdout.decode(errors="surrogateescape"),
            errors=done.stderr.decode(errors="replace"),
        )

    def ask(self, script: str, **variables: str) -> str:
        """The output of a script that succeeds and complains of nothing."""
        ran = self.run(script, variables=variables)
        assert (ran.status, ran.errors) == (0, ""), ran
        return ran.output.rstrip("\n")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a link for each of busybox's programs."""
    folder = tmp_path_factory.mktemp("busybox")
    subprocess.run([BUSYBOX, "--install", "-s", folder], check=True)
    return folder


@pytest.fixture
def shell(tmp_path: Path, programs: Path) -> Shell:
    root = tmp_path / "trees"
    root.mkdir()
    return Shell(root=root, programs=programs)
