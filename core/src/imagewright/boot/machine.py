"""A virtual machine as a value, and the command line of QEMU that it stands for.

The options are those of https://www.qemu.org/docs/master/system/invocation.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imagewright.boot.accelerator import Accelerator
from imagewright.boot.disks import Disk
from imagewright.boot.firmware import Uefi
from imagewright.boot.metadata import MetadataService
from imagewright.boot.tools import QEMU

MAC_ADDRESS = "52:54:00:12:34:56"
"""The address of the machine's network card: QEMU's own first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A user-mode network whose port 22 is forwarded from a free port of 127.0.0.1.

    ``metadata`` is served at 169.254.169.254. A ``restricted`` machine reaches nothing else. ``ports`` are further
    ones of the machine that are forwarded so. ``tftp`` is a folder whose ``boot_file`` the network's DHCP names.
    """

    metadata: MetadataService | None = None
    restricted: bool = False
    ports: tuple[int, ...] = ()
    tftp: Path | None = None
    boot_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of the ``pc`` (BIOS) or ``q35`` (UEFI) kind; ``memory`` in MiB.

    ``seeds`` are ISO images with metadata. With ``kernel`` the machine starts it directly, with ``initrd`` and
    ``kernel_arguments``, and no boot loader runs. ``extra`` is added to the command line as it is.
    """

    memory: int = 1024
    cpus: int = 2
    firmware: Literal["bios", "uefi"] = "bios"
    disks: tuple[Disk, ...] = ()
    seeds: tuple[Path, ...] = ()
    network: Network | None = field(default_factory=Network)
    kernel: Path | None = None
    initrd: Path | None = None
    kernel_arguments: str = ""
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The files of a running machine, all in one folder of its own."""

    path: Path

    @property
    def console(self) -> Path:
        """What the machine wrote to its first serial port."""
        return self.path / "console.log"

    @property
    def errors(self) -> Path:
        """What QEMU wrote to its standard error."""
        return self.path / "qemu.log"

    @property
    def variables(self) -> Path:
        """The machine's own UEFI variables."""
        return self.path / "uefi-variables.fd"

    @property
    def metadata(self) -> Path:
        """The answers of the metadata service, as JSON."""
        return self.path / "metadata.json"

    @property
    def requests(self) -> Path:
        """The requests that the metadata service was asked, one a line."""
        return self.path / "metadata-requests.log"


def argv(
    machine: Machine, folder: Folder, accelerator: Accelerator, *, uefi: Uefi | None = None, monitor: int = -1
) -> tuple[str, ...]:
    """The command line that runs ``machine``, with its files in ``folder``.

    ``uefi`` has to be given for a machine with that firmware. ``monitor`` is a connected socket's descriptor for
    QEMU's machine protocol, -1 for none.
    """
    return tuple(_words(machine, folder, accelerator, uefi, monitor))


def quoted(value: object) -> str:
    """A value within an option of QEMU: commas are doubled."""
    return str(value).replace(",", ",,")


def _words(
    machine: Machine, folder: Folder, accelerator: Accelerator, uefi: Uefi | None, monitor: int
) -> Iterator[str]:
    yield from (QEMU, "-nodefaults", "-no-user-config", "-name", "imagewright")
    yield from ("-machine", "pc" if machine.firmware == "bios" else "q35")
    yield from ("-accel", accelerator.name, "-cpu", accelerator.cpu)
    yield from ("-m", str(machine.memory), "-smp", str(machine.cpus))
    yield from ("-display", "none", "-vga", "std")
    yield from ("-chardev", f"file,id=console,path={quoted(folder.console)}", "-serial", "chardev:console")
    if monitor >= 0:
        yield from ("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control")
    yield from ("-device", "virtio-rng-pci")
    if machine.firmware == "uefi":
        if uefi is None:
            raise ValueError("a machine with UEFI needs its firmware")
        yield from ("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={quoted(uefi.code)}")
        yield from ("-drive", f"if=pflash,unit=1,format=raw,file={quoted(folder.variables)}")
    for number, disk in enumerate(machine.disks):
        yield from _disk(f"disk{number}", disk, number + 1)
    for number, seed in enumerate(machine.seeds):
        name = f"seed{number}"
        yield from ("-drive", f"if=none,id={name},format=raw,readonly=on,file={quoted(seed)}")
        yield from ("-device", f"virtio-blk-pci,drive={name}")
    if machine.network is not None:
        yield from _network(machine.network, folder)
    if machine.kernel is not None:
        yield from ("-kernel", str(machine.kernel))
        if machine.initrd is not None:
            yield from ("-initrd", str(machine.initrd))
        yield from ("-append", machine.kernel_arguments)
    yield from machine.extra


def _disk(name: str, disk: Disk, boot_index: int) -> Iterator[str]:
    snapshot = "off" if disk.keep else "on"
    # discard and unsafe caching: a test machine's disk need not survive the host's power failure.
    yield from (
        "-drive",
        f"if=none,id={name},format={disk.format},cache=unsafe,discard=unmap,snapshot={snapshot},"
        f"file={quoted(disk.path)}",
    )
    match disk.bus:
        case "virtio":
            yield from ("-device", f"virtio-blk-pci,drive={name},bootindex={boot_index}")
        case "ahci":
            yield from ("-device", f"ahci,id={name}-ahci")
            yield from ("-device", f"ide-hd,bus={name}-ahci.0,drive={name},bootindex={boot_index}")
        case "nvme":
            yield from ("-device", f"nvme,serial={name},drive={name},bootindex={boot_index}")


def _network(network: Network, folder: Folder) -> Iterator[str]:
    # Port 0: the kernel chooses a free one when QEMU listens, so that two machines never race for it.
    options = ["user", "id=net0", *(f"hostfwd=tcp:127.0.0.1:0-:{port}" for port in (22, *network.ports))]
    if network.restricted:
        options.append("restrict=on")
    if network.metadata is not None:
        options += network.metadata.network_options(folder.metadata, folder.requests)
        yield from ("-smbios", network.metadata.smbios())
    # A card without its option ROM cannot start a machine; with it, a machine without a disk would try.
    card = f"virtio-net-pci,netdev=net0,mac={MAC_ADDRESS}"
    if network.tftp is not None:
        options += [f"tftp={quoted(network.tftp)}", f"bootfile={quoted(network.boot_file)}"]
        card += ",bootindex=0"
    else:
        card += ",romfile="
    yield from ("-netdev", ",".join(options))
    yield from ("-device", card)
