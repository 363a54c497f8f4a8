"""The init's functions under busybox, and whole /inits as process 1 of namespaces of their own."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from imagewright.ramdisk import init

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
        functions = [init.HERE / "functions" / name for name in init.FUNCTIONS]
        text = "".join(f". {path}\n" for path in functions) + script
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a machine did from the start of /init to its end."""

    console: str
    end: str  # reboot, poweroff, or how else it ended
    posts: tuple[dict[str, Any], ...] = ()  # path, type and body of what the server was sent

    def documents(self, path: str) -> list[Any]:
        """The JSON documents that were posted to a path."""
        return [json.loads(post["body"]) for post in self.posts if post["path"] == path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """Runs a whole /init as process 1 of namespaces: ``reboot`` ends them as it would end a machine."""

    folder: Path
    tool: Path = field(default=HERE / "contained.py")

    def live(
        self,
        fragments: Mapping[str, str],
        command_line: str = "ip=off",
        *,
        timeout: int = 1,
        programs: tuple[str, ...] = (),
        server: str = "",
        dhcp: bool = False,
        answer: int = 200,
        setup: str = "",
        typed: str = "",
        patience: float = 60,
    ) -> Life:
        """Run fragments, by the names of their flavours, until the machine ends.

        ``programs`` are those of the host that the ramdisk holds. ``server`` is ``http`` for one that collects what is
        posted, with status ``answer``. ``setup`` is shell that runs in the new root's namespace before /init.
        ``typed`` waits at the console for whoever reads it.
        """
        joined = "".join(
            init.begin(name) + textwrap.dedent(text).lstrip("\n") + "\n" for name, text in fragments.items()
        )
        script = self.folder / "init"
        script.write_text(f"#!/bin/sh\nINIT_TIMEOUT={timeout}\n{init.head()}{joined}{init.end()}")
        script.chmod(0o755)
        (self.folder / "command-line").write_text(command_line + "\n")
        posts = self.folder / "posts"
        posts.mkdir(exist_ok=True)
        master, slave = pty.openpty()
        os.write(master, typed.encode())
        environment = os.environ | {
            "FOLDER": str(self.folder),
            "BUSYBOX": BUSYBOX,
            "CONSOLE": os.ttyname(slave),
            "LIBRARIES": f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}",
            "PROGRAMS": " ".join(programs),
            "SERVER": server,
            "ANSWER": str(answer),
            "DHCP": "1" if dhcp else "",
            "SETUP": setup,
            "PYTHON": sys.executable,
            "TOOL": str(self.tool),
        }
        namespaces = ["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        machine = subprocess.Popen(
            [*namespaces, "sh", HERE / "contain.sh"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        shown: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(master, shown), daemon=True)
        reader.start()
        try:
            said, _ = machine.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            machine.kill()
            said, _ = machine.communicate()
        finally:
            os.close(slave)
            reader.join(5)
            os.close(master)
        console = (said + b"".join(shown)).decode(errors="replace").replace("\r\n", "\n")
        status = machine.returncode
        # reboot(2): in a PID namespace its first process dies of SIGHUP for a restart and of SIGINT for a power-off.
        ends = {-signal.SIGHUP: "reboot", -signal.SIGINT: "poweroff", -signal.SIGKILL: "never"}
        return Life(
            console=console,
            end=ends.get(status, f"status {status}"),
            posts=tuple(json.loads(path.read_text()) for path in sorted(posts.iterdir())),
        )


def _drain(master: int, into: list[bytes]) -> None:
    try:
        while piece := os.read(master, 65536):
            into.append(piece)
    except OSError:
        return  # the last writer has gone


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where a user may not make namespaces with a network of their own."""
    tried = subprocess.run(
        ["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "ip", "link", "add", "type", "veth"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"no namespaces with a network here: {tried.stderr.strip()}")


@pytest.fixture
def contained(namespaces: None, tmp_path: Path) -> Contained:
    folder = tmp_path / "machine"
    folder.mkdir()
    return Contained(folder=folder)
