"""A machine while it runs: started and ended, its console read, its ports known."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from imagewright.boot.accelerator import Accelerator, probe
from imagewright.boot.errors import BootFailed
from imagewright.boot.firmware import Uefi, find_uefi
from imagewright.boot.machine import Folder, Machine, argv
from imagewright.boot.qmp import Qmp
from imagewright.boot.tools import QEMU, find
from imagewright.errors import HostError

LAST_LINES = 25
"""How many lines of the console a failure shows."""

Notice = Callable[[str], None]

_PANIC = "Kernel panic - not syncing"
# Under emulation the kernel's check of its timer loses a race about once in a hundred starts, before it has looked at
# any disk; the same machine started again is fine.
_TIMER_PANICS = (f"{_PANIC}: IO-APIC + timer doesn't work", f"{_PANIC}: timer doesn't work")

# CSI, OSC, character sets and the single ones (ECMA-48; systemd 257 sends an OSC to every console).
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cM])")


@contextlib.contextmanager
def running(
    machine: Machine,
    folder: Path,
    *,
    accelerator: Accelerator | None = None,
    notice: Notice = lambda _: None,
) -> Iterator[RunningMachine]:
    """Run ``machine`` with its files in ``folder`` for as long as the context lasts; None probes the accelerator.

    QEMU has a session of its own, and the kernel kills it when the thread that called this ends. ``notice`` is told
    of what a user should know. Raises HostError if a tool or the firmware is missing, BootFailed if QEMU refuses.
    """
    find(QEMU)
    uefi = find_uefi() if machine.firmware == "uefi" else None
    folder.mkdir(parents=True, exist_ok=True)
    it = RunningMachine(machine, Folder(path=folder.resolve()), accelerator or probe(), uefi, notice)
    try:
        it.start()
        yield it
    finally:
        it.kill()


class RunningMachine:
    """What can be done with a machine that runs; made by :func:`running`."""

    def __init__(
        self, machine: Machine, folder: Folder, accelerator: Accelerator, uefi: Uefi | None, notice: Notice
    ) -> None:
        self.machine = machine
        self.folder = folder
        self.accelerator = accelerator
        self.ssh_port = 0
        self._uefi = uefi
        self._notice = notice
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: Qmp | None = None
        self._started = 0.0
        self._restarted = False

    def port(self, port: int) -> int:
        """The port of 127.0.0.1 that leads to a forwarded port of the machine. Raises BootFailed if there is none."""
        assert self._monitor is not None
        try:
            return self._monitor.forwarded_port(port)
        except OSError as error:
            raise self.failure(f"port {port} of the machine is not forwarded", cause=str(error)) from error

    @property
    def pid(self) -> int:
        """The process id of QEMU."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether QEMU still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def seconds(self) -> float:
        """How long the machine has been running."""
        return time.monotonic() - self._started

    @property
    def console(self) -> str:
        """The console's text so far: no escape sequences, lines end with a newline."""
        return clean(_read(self.folder.console))

    @property
    def metadata_requests(self) -> tuple[str, ...]:
        """What the metadata service was asked: ``STATUS METHOD PATH``, in order."""
        return tuple(_read(self.folder.requests).decode(errors="replace").splitlines())

    def start(self) -> None:
        """Start QEMU and learn its port. Raises BootFailed if it ends at once."""
        self.folder.console.write_bytes(b"")
        network = self.machine.network
        if network is not None and network.metadata is not None:
            _write_answers(self.folder, network.metadata.answers())
        if self._uefi is not None and not self.folder.variables.exists():
            shutil.copyfile(self._uefi.variables, self.folder.variables)
        ours, theirs = socket.socketpair()
        with theirs, self.folder.errors.open("wb") as errors:
            words = argv(self.machine, self.folder, self.accelerator, uefi=self._uefi, monitor=theirs.fileno())
            self._process = subprocess.Popen(
                # It stays one process: setpriv becomes QEMU. If we die by SIGKILL, it still goes.
                (find("setpriv"), "--pdeathsig", "KILL", "--", *words),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._started = time.monotonic()
        self._monitor = Qmp(ours)
        try:
            self.ssh_port = self._monitor.forwarded_port() if network is not None else 0
        except OSError as error:
            self.kill()
            raise HostError(
                "qemu-refused",
                "QEMU did not start the machine",
                where=tuple(self._errors()[-LAST_LINES:]),
                cause=str(error),
            ) from error

    def check(self) -> None:
        """Look whether the machine is well. Raises BootFailed if it has ended or its kernel has panicked.

        The one panic that only emulation knows is answered with a new start, once, and said aloud.
        """
        console = self.console
        if _PANIC in console:
            if not self._restarted and any(panic in console for panic in _TIMER_PANICS):
                self._restarted = True
                self._notice("the kernel lost its timer to the emulation, the machine is started again")
                self.kill()
                self.folder.console.rename(self.folder.console.with_suffix(".first.log"))
                self.start()
                return
            raise self.failure("the kernel of the image panicked")
        if not self.alive:
            raise self.failure("the machine has stopped", cause="\n".join(self._errors()[-3:]))

    def wait_for(self, text: str, timeout: float, *, after: int = 0) -> float:
        """Wait until the console shows ``text`` beyond its first ``after`` characters; return the seconds it took.

        Raises BootFailed if that does not happen within ``timeout`` seconds, or cannot any more.
        """
        start = time.monotonic()
        while text not in self.console[after:]:
            self.check()
            if time.monotonic() - start > timeout:
                raise self.failure(f"the console did not show {text!r} within {timeout:.0f} s")
            time.sleep(0.2)
        return time.monotonic() - start

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the machine ends by itself. Raises BootFailed if it does not in time, or its kernel panics."""
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while self.alive:
            if _PANIC in self.console:
                self.check()
            if time.monotonic() > deadline:
                raise self.failure(f"the machine did not end within {timeout:.0f} s")
            time.sleep(0.2)

    def shut_down(self, timeout: float = 120.0) -> None:
        """Press the power button and wait for the end. Raises BootFailed if the machine does not obey in time."""
        assert self._monitor is not None
        assert self._process is not None
        try:
            self._monitor.execute("system_powerdown")
        except OSError as error:
            raise self.failure("the machine's monitor does not answer", cause=str(error)) from error
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self.failure(f"the machine did not shut down within {timeout:.0f} s") from None

    def kill(self) -> None:
        """End QEMU now, whatever the machine does."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        if self._process is None:
            return
        # The whole session: QEMU may have processes that answer for the metadata service.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_lines(self) -> tuple[str, ...]:
        """The last lines of the console that say something."""
        return tuple(line for line in self.console.splitlines() if line.strip())[-LAST_LINES:]

    def failure(self, message: str, *, cause: str = "", hint: str = "") -> BootFailed:
        """An error that shows the console's last lines and names its file."""
        shown = self.last_lines() or ("(the console is empty)",)
        return BootFailed(
            "boot-failed",
            message,
            where=(f"after {self.seconds:.0f} s, console log {self.folder.console}", *(f"| {line}" for line in shown)),
            cause=cause,
            hint=hint,
        )

    def _errors(self) -> list[str]:
        return _read(self.folder.errors).decode(errors="replace").splitlines()


def clean(raw: bytes) -> str:
    """Console bytes as text, without a terminal's escape sequences and carriage returns."""
    return _CONTROL.sub("", raw.decode(errors="replace")).replace("\r", "").replace("\x00", "")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _write_answers(folder: Folder, answers: dict[str, str]) -> None:
    folder.metadata.write_text(json.dumps(answers), encoding="utf-8")
