"""Machines of metal: empty disks, ramdisks made by the command that users call, and a boot server that runs beside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from imagewright.boot.disks import Bus, Disk
from imagewright.boot.machine import Machine, Network

from boots_kit import images
from boots_kit.lab import Lab

CHOSEN = ("debian", "vm", "persistent-state")
RAMDISKS = ("deploy", "deploy-http")
BIN = Path(sys.executable).parent
SERVER = "10.0.2.2"
"""The host, as a machine in QEMU's user-mode network sees it."""


def build() -> Path:
    """A folder with ``metal.qcow2``, an image with a partition for its state, and with each ramdisk and its kernel.

    Raises RuntimeError with the command's words if one of them fails.
    """
    given = os.environ.get("IMAGEWRIGHT_TEST_METAL")
    return Path(given) if given else images.kept(images.digest("metal"), make)


def make(folder: Path) -> None:
    images.run_the_command(folder / "metal.qcow2", *CHOSEN)
    for flavour in RAMDISKS:
        argv = (BIN / "ramdisk-image-create", "--progress", "plain", "-o", folder / f"{flavour}.ramdisk", flavour)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=3600)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, argv))}\nended with {done.returncode}:\n{done.stderr[-6000:]}")


def empty_disk(path: Path, size: int) -> Path:
    """A disk that nobody has written to."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def ramdisk(folder: Path, flavour: str, disk: Path, arguments: str, *, bus: Bus = "virtio") -> Machine:
    """A machine that starts a ramdisk from the network, as it were, and is off when that would start it again."""
    return Machine(
        disks=(Disk(path=disk, format="raw", keep=True, bus=bus),),
        network=Network(ports=(3260, 10000)),
        kernel=folder / f"{flavour}.kernel",
        initrd=folder / f"{flavour}.ramdisk",
        kernel_arguments=f"console=ttyS0 init_timeout=1 {arguments}",
        extra=("-no-reboot",),
    )


def run_ramdisk(lab: Lab, machine: Machine, where: Path, line: str = "") -> str:
    """Run such a machine to its end and return its console."""
    with lab.run(machine, where) as it:
        it.wait_for_end(2 * lab.patience)
        assert line in it.console, it.console[-3000:]
        return it.console


class BootServer:
    """The command ``imagewright boot-server`` while it runs."""

    def __init__(self, process: subprocess.Popen[str], reports: Path) -> None:
        self.process = process
        self.folder = reports
        self.events: list[dict[str, str]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def said(self, kind: str, text: str = "", *, timeout: float = 60) -> str:
        """Wait for an event and return its text."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for event in list(self.events):
                if event["event"] == kind and text in event["text"]:
                    return event["text"]
            assert self.process.poll() is None, f"the boot server ended with {self.process.returncode}: {self.events}"
            time.sleep(0.05)
        raise AssertionError(f"the boot server did not say {kind} {text!r} in time: {self.events}")

    @property
    def url(self) -> str:
        """Its address for machines."""
        return f"http://{SERVER}:{self.said('started').rpartition(':')[2]}"

    def reports(self, kind: str = "report") -> list[dict[str, Any]]:
        """What it kept, in order."""
        found = [json.loads(path.read_bytes()) for path in sorted(self.folder.glob("*.json"))]
        return [one["content"] for one in found if one["kind"] == kind]

    def last_report(self) -> dict[str, Any]:
        """The latest report of a ramdisk."""
        return self.reports()[-1]


@contextlib.contextmanager
def boot_server(where: Path, *options: str | Path, port: int = 0) -> Iterator[BootServer]:
    """Run a boot server with its reports below ``where``."""
    reports = where / "reports"
    argv = [BIN / "imagewright", "boot-server", "--json", "--listen", f"127.0.0.1:{port}", "--reports", reports]
    environment = {**os.environ, "IMAGEWRIGHT_CACHE_DIR": str(where / "cache")}
    with (where / "boot-server.log").open("wb") as log:
        process = subprocess.Popen([*argv, *options], stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            yield BootServer(process, reports)
        finally:
            process.terminate()
            process.wait(120)


class _Breaking(BaseHTTPRequestHandler):
    content: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        """Promise all of it and give two thirds."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: len(self.content) * 2 // 3])

    def log_message(self, *words: object) -> None:
        pass


@contextlib.contextmanager
def breaking_server(content: bytes) -> Iterator[str]:
    """An address whose connections break while ``content`` is sent."""
    handler = type("Breaking", (_Breaking,), {"content": content})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{SERVER}:{server.server_port}/image.raw"
        server.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What sfdisk reads of a disk: (name, first sector, sectors) of each partition, by number."""

    partitions: tuple[tuple[str, int, int], ...]


def table_of(disk: Path) -> Table | None:
    """The disk's partition table; None without one."""
    done = subprocess.run(("sfdisk", "--json", disk), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    found = json.loads(done.stdout)["partitiontable"]["partitions"]
    return Table(partitions=tuple((one.get("name", ""), one["start"], one["size"]) for one in found))
