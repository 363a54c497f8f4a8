"""How the machine of an image starts: its kernels, their command lines, the entries of its boot loader."""

from __future__ import annotations

import re

from imagewright.reading.commandline import command_line
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import Image
from imagewright.reading.systems import System, find_system

COMMAND_LINE = "command line of "
"""What the name of a kernel's command line begins with; the version follows."""

_ENTRY = re.compile(
    r"""^\s*(?:menuentry\s+(?P<quote>['"])(?P<title>.*?)(?P=quote)|(?P<word>linux\w*)\s+(?P<line>\S.*))"""
)


def boot_facts(image: Image) -> dict[str, str]:
    """Names with values; none if the image holds no kernel. Raises Damaged."""
    try:
        system = find_system(image)
    except ImageUnreadable:
        return {}
    facts = {}
    for kernel in system.kernels:
        ramdisk = kernel.ramdisk.path if kernel.ramdisk else "no ramdisk"
        facts[f"kernel {kernel.version}"] = f"{kernel.kernel.path}, {ramdisk}"
        facts[f"{COMMAND_LINE}{kernel.version}"] = command_line(system, kernel)
    return facts | _entries(system)


def _entries(system: System) -> dict[str, str]:
    """What the menus of GRUB and of the Boot Loader Specification offer."""
    facts = {}
    for tree, folder in system.boot:
        for name in (f"{folder}/grub/grub.cfg", f"{folder}/grub2/grub.cfg"):
            title = "outside of the menu"
            for line in (tree.text(name, 2**22) or "").splitlines():
                found = _ENTRY.match(line)
                if found is None:
                    continue
                title = found["title"] if found["title"] is not None else title
                facts[f"entry {title}"] = " ".join((found["line"] or "").split())
        entries = f"{folder}/loader/entries"
        for name in tree.names(entries):
            if name.endswith(".conf"):
                facts[f"entry {name}"] = "; ".join((tree.text(f"{entries}/{name}") or "").splitlines())
    return facts
