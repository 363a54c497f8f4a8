"""The options of ``imagewright boot`` that no other command has: a part of the one table."""

from __future__ import annotations

from imagewright.cli.options import kinds
from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.setting import Setting, switch

_BOOT = "Boot"

OPTIONS = (
    Setting(
        name="check",
        help="Command to run in the booted image over ssh; may be repeated. The first that fails sets the exit code.",
        kind=Kind.WORDS,
        metavar="CMD",
        default=(),
        group=_BOOT,
    ),
    switch("uefi", "Boot with UEFI instead of BIOS.", group=_BOOT),
    Setting(
        name="user",
        help="User to log in as.",
        convert=kinds.name,
        metavar="NAME",
        shown="the default user of the image's cloud-init",
        group=_BOOT,
    ),
    Setting(
        name="timeout",
        help="Seconds that the login and each check may take.",
        convert=kinds.count,
        metavar="S",
        default=600,
        group=_BOOT,
    ),
    Setting(
        name="memory",
        help="Memory of the machine in MiB.",
        convert=kinds.count,
        metavar="MIB",
        default=1024,
        group=_BOOT,
    ),
    Setting(
        name="disk-bus",
        help="How the machine sees the image: virtio, ahci or nvme.",
        convert=kinds.one_of("the bus", "virtio", "ahci", "nvme"),
        metavar="BUS",
        default="virtio",
        group=_BOOT,
    ),
    Setting(
        name="junit",
        help="File for a JUnit report of the checks.",
        convert=kinds.path,
        of_path=True,
        metavar="FILE",
        group=_BOOT,
    ),
)
"""In the order of the help."""
