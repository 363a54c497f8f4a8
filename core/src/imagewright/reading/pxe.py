"""A folder for network boot: pxelinux and iPXE start the kernel and the ramdisk that lie in it."""

from __future__ import annotations

from pathlib import Path

from imagewright.reading.extract import Output, copied

LOADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pxelinux.0", ("/usr/lib/PXELINUX/pxelinux.0", "/usr/share/syslinux/pxelinux.0")),
    (
        "ldlinux.c32",
        ("/usr/lib/syslinux/modules/bios/ldlinux.c32", "/usr/share/syslinux/ldlinux.c32"),
    ),
)
"""What pxelinux itself consists of, and where the packages ``pxelinux`` and ``syslinux-common`` put it."""


def configurations(folder: Path, kernel: str, ramdisk: str, command_line: str) -> list[Output]:
    """``pxelinux.cfg/default`` and ``boot.ipxe`` for files of these names in the folder."""
    pxelinux = (
        f"DEFAULT image\nPROMPT 0\nTIMEOUT 30\n\n"
        f"LABEL image\n  KERNEL {kernel}\n  INITRD {ramdisk}\n  APPEND {command_line}\n"
    )
    # Without a scheme a name is relative to the script. EFI kernels look for the ramdisk by the name in `initrd=`.
    ipxe = f"#!ipxe\nkernel {kernel} initrd={ramdisk} {command_line}\ninitrd {ramdisk}\nboot\n"
    return [
        Output(path=folder / "pxelinux.cfg" / "default", content=[pxelinux.encode()]),
        Output(path=folder / "boot.ipxe", content=[ipxe.encode()]),
    ]


def loaders(folder: Path) -> tuple[list[Output], list[str]]:
    """pxelinux itself, from this host, and the names of what this host does not have."""
    outputs: list[Output] = []
    missing: list[str] = []
    for name, places in LOADERS:
        source = next((path for path in map(Path, places) if path.is_file()), None)
        if source is None:
            missing.append(name)
        else:
            outputs.append(Output(path=folder / name, content=copied(source)))
    return outputs, missing
