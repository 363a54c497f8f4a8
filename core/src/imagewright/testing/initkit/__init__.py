"""Whole /inits of ramdisks, run as process 1 of namespaces: what a fragment does, in a second and without QEMU.

There is no udev and no module in such a machine; it has busybox, the programs that a test names, and one network card
``veth0`` whose other end, ``veth1`` with the address 10.9.0.1, may answer by DHCP and HTTP.
"""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imagewright.ramdisk import initscript

HERE = Path(__file__).parent

STATIC = "ip=10.9.0.2:10.9.0.1::255.255.255.0::veth0"
"""The kernel parameter for an address in the machine's network, with the server as boot server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a machine did from the start of /init to its end."""

    console: str
    end: str  # reboot, poweroff, or how else it ended
    posts: tuple[dict[str, Any], ...] = ()  # path, type and body of what the server was sent
    initiator: str = ""

    def documents(self, path: str) -> list[Any]:
        """The JSON documents that were posted to a path."""
        return [json.loads(post["body"]) for post in self.posts if post["path"] == path]


@dataclass(frozen=True, slots=True, kw_only=True)
class InitKit:
    """Runs a whole /init as process 1 of namespaces: ``reboot`` ends them as it would end a machine."""

    folder: Path

    @staticmethod
    def missing() -> str:
        """Why there can be no such machine here; empty if there can."""
        namespaces = ["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork"]
        make = [*namespaces, "ip", "link", "add", "type", "veth"]
        return subprocess.run(make, capture_output=True, text=True, check=False).stderr.strip()

    def live(
        self,
        fragments: Mapping[str, str],
        command_line: str = "ip=off",
        *,
        timeout: int = 1,
        programs: tuple[str, ...] = (),
        server: Literal["", "http", "deploy"] = "",
        initiator: str = "",
        dhcp: bool = False,
        answer: int = 200,
        setup: str = "",
        typed: str = "",
        patience: float = 60,
    ) -> Life:
        """Run fragments, by the names of their flavours, until the machine ends.

        ``programs`` are those of the host that the ramdisk holds. ``server`` ``http`` collects what is posted, and
        answers with status ``answer``; ``deploy`` also ends a deployment, as a boot server does, after the shell
        ``initiator`` has run on its side, whose output is :attr:`Life.initiator`. ``setup`` is shell
        that runs in the new root before /init. ``typed`` waits at the console for whoever reads it.
        """
        pieces = [
            initscript.Fragment(flavour=name, content=textwrap.dedent(text).lstrip("\n"))
            for name, text in fragments.items()
        ]
        script = self.folder / "init"
        script.write_text(initscript.joined(initscript.shipped(), pieces, {"INIT_TIMEOUT": str(timeout)}))
        script.chmod(0o755)
        (self.folder / "command-line").write_text(command_line + "\n")
        posts = self.folder / "posts"
        posts.mkdir(exist_ok=True)
        master, slave = pty.openpty()
        os.write(master, typed.encode())
        environment = os.environ | {
            "FOLDER": str(self.folder),
            "BUSYBOX": shutil.which("busybox") or "busybox",
            "CONSOLE": os.ttyname(slave),
            "LIBRARIES": f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}",
            "PROGRAMS": " ".join(programs),
            "SERVER": server,
            "ANSWER": str(answer),
            "DHCP": "1" if dhcp else "",
            "SETUP": setup,
            "INITIATOR": initiator,
            "PYTHON": sys.executable,
            "TOOL": str(HERE / "collector.py"),
        }
        namespaces = ["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        machine = subprocess.Popen(
            [*namespaces, "sh", HERE / "contain"],
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
            posts=tuple(json.loads(path.read_text()) for path in sorted(posts.glob("*.json"))),
            initiator=(posts / "initiator").read_text() if initiator and (posts / "initiator").exists() else "",
        )


def _drain(master: int, into: list[bytes]) -> None:
    try:
        while piece := os.read(master, 65536):
            into.append(piece)
    except OSError:
        return  # the last writer has gone
