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

from imagewright.boot.firmware import find_uefi
from imagewright.boot.tools import QEMU, find
from imagewright.errors import HostError


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

_BIOS_SPEAKS = b"SeaBIOS"
UEFI_SPEAKS = b"BdsDxe"
"""What OVMF prints when it is through with itself and looks for something to start."""

_QEMU_GAVE_UP = b"KVM internal error"


def probe(*, device: Path = Path("/dev/kvm"), limit: float = 10.0) -> Accelerator:
    """KVM if machines really run both firmwares with it, each within ``limit`` seconds, else emulation.

    A device node proves nothing: it may be there without the right to use it, without a processor that can, or with
    a host that hangs. A BIOS that speaks proves little: a host may carry KVM itself in a machine that cannot run much
    more than real mode. So two machines without disks are started: SeaBIOS has to speak on its debug port, and OVMF,
    which runs in long mode, on the serial one. Where OVMF is not installed the BIOS has to do. Raises HostError if
    QEMU itself is missing.
    """
    qemu = find(QEMU)
    if not os.access(device, os.R_OK | os.W_OK):
        return _emulation(f"{device} is missing or may not be used")
    machine = (
        qemu, "-accel", "kvm", "-cpu", "host", "-nodefaults", "-no-user-config",
        "-display", "none", "-chardev", "stdio,id=port",
    )  # fmt: skip
    bios = ("-machine", "pc", "-m", "32", "-device", "isa-debugcon,iobase=0x402,chardev=port")
    if not runs((*machine, *bios), _BIOS_SPEAKS, limit):
        return _emulation(f"a machine did not run its BIOS with KVM within {limit:g} s")
    try:
        code = find_uefi().code
    except HostError:
        return Accelerator(name="kvm", cpu="host", reason="a machine ran its BIOS with KVM")
    if not runs((*machine, *uefi_options(code)), UEFI_SPEAKS, limit):
        return _emulation(f"a machine ran its BIOS with KVM, but not UEFI within {limit:g} s")
    return Accelerator(name="kvm", cpu="host", reason="machines ran both firmwares with KVM")


def uefi_options(code: Path) -> tuple[str, ...]:
    """QEMU's options for a machine that runs OVMF and nothing else, and speaks on the character device ``port``."""
    # without a store of variables OVMF keeps them in memory, so that nothing has to be copied
    firmware = f"if=pflash,unit=0,format=raw,readonly=on,file={code}"
    return ("-machine", "q35", "-m", "128", "-serial", "chardev:port", "-drive", firmware)


def runs(argv: tuple[str, ...], sign: bytes, limit: float) -> bool:
    """Whether the machine that this command starts says ``sign`` within ``limit`` seconds; it is ended then."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return _speaks(process, sign, limit)
    finally:
        _stop(process)


def _emulation(reason: str) -> Accelerator:
    return Accelerator(name=TCG.name, cpu=TCG.cpu, reason=reason)


def _speaks(process: subprocess.Popen[bytes], sign: bytes, limit: float) -> bool:
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
        if sign in heard:
            return True
        # the machine stands still, and QEMU goes on
        if _QEMU_GAVE_UP in heard:
            return False
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    # A process stuck in the kernel's KVM cannot be killed: it is left to the kernel rather than waited for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
