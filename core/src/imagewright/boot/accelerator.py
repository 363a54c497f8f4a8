"""Which QEMU accelerator works here, found out by using it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from imagewright.boot.tools import QEMU, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A value for ``-accel``, the processor model that goes with it, and why it was taken."""

    name: str
    cpu: str
    reason: str

    @property
    def patience(self) -> int:
        """By what factor a time limit meant for KVM is stretched."""
        return 1 if self.name == "kvm" else 6


# The bare model boots in QEMU's emulation like any other; `max` has all that it can emulate.
TCG = Accelerator(name="tcg,thread=multi", cpu="max", reason="KVM was not tried")

_SIGN_OF_LIFE = b"SeaBIOS"


def probe(*, device: Path = Path("/dev/kvm"), limit: float = 5.0) -> Accelerator:
    """KVM if a machine really runs its firmware with it within ``limit`` seconds, else emulation.

    A device node proves nothing: it may be there without the right to use it, without a processor that can, or with
    a host that hangs. So a machine without disks is started, and SeaBIOS has to speak on its debug port. Raises
    HostError if QEMU itself is missing.
    """
    qemu = find(QEMU)
    if not os.access(device, os.R_OK | os.W_OK):
        return _emulation(f"{device} is missing or may not be used")
    argv = (
        qemu, "-accel", "kvm", "-cpu", "host", "-machine", "pc", "-m", "32", "-nodefaults", "-no-user-config",
        "-display", "none", "-chardev", "stdio,id=debug", "-device", "isa-debugcon,iobase=0x402,chardev=debug",
    )  # fmt: skip
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        spoke = _speaks(process, limit)
    finally:
        _stop(process)
    if spoke:
        return Accelerator(name="kvm", cpu="host", reason="a machine ran with KVM")
    return _emulation(f"a machine did not run with KVM within {limit:g} s")


def _emulation(reason: str) -> Accelerator:
    return Accelerator(name=TCG.name, cpu=TCG.cpu, reason=reason)


def _speaks(process: subprocess.Popen[bytes], limit: float) -> bool:
    assert process.stdout is not None
    stream = process.stdout.fileno()
    deadline = time.monotonic() + limit
    heard = b""
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([stream], [], [], left)
        if not ready:
            return False
        piece = os.read(stream, 4096)
        if not piece:
            return False
        heard += piece
        if _SIGN_OF_LIFE in heard:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    # A process stuck in the kernel's KVM cannot be killed: it is left to the kernel rather than waited for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
