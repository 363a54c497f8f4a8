"""udev in a ramdisk: the daemon, its helpers, and the rules that find disks and network cards (udev(7))."""

from __future__ import annotations

from imagewright.ramdisk.contents import CORE, Contents
from imagewright.ramdisk.executables import Wanted

DAEMONS = ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "/usr/lib/udev/udevd", "/sbin/udevd")

RULES = (
    "50-firmware.rules",
    "50-udev-default.rules",
    "55-dm.rules",
    "60-block.rules",
    "60-cdrom_id.rules",
    "60-infiniband.rules",
    "60-persistent-storage.rules",
    "60-persistent-storage-dm.rules",
    "60-persistent-storage-tape.rules",
    "63-md-raid-arrays.rules",
    "64-btrfs.rules",
    "64-md-raid-assembly.rules",
    "71-seat.rules",
    "73-special-net-names.rules",
    "75-net-description.rules",
    "80-drivers.rules",
    "80-net-setup-link.rules",
    "95-dm-notify.rules",
)
"""The rules of the operating system that serve a ramdisk; those of sessions, sound and the like do not."""

_RULE_FILES = tuple(f"rules.d/{rule}" for rule in RULES)

HELPERS = ("ata_id", "cdrom_id", "scsi_id", "dmi_memory_id")

_FILES = ("/usr/lib/systemd/network/99-default.link", "/usr/lib/systemd/network/73-usb-net-by-mac.link")

_BELOW = tuple(f"{top}/{name}" for top in ("/usr/lib/udev", "/lib/udev") for name in (*_RULE_FILES, *HELPERS))

WANTED = tuple(
    Wanted(name=name, asked=(CORE,), package="udev", optional=True) for name in (*DAEMONS, "udevadm", *_BELOW, *_FILES)
)
"""All of it; a ramdisk holds what its roots have of that."""


def present(contents: Contents) -> bool:
    """Whether the ramdisk has udev."""
    return any(contents.has(path) for path in DAEMONS)
