"""The command line that a kernel of an image is started with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from imagewright.reading.systems import Kernel, System, mounted
from imagewright.reading.trees import Tree

_LASTING = ("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/mapper/", "/dev/disk/")
_DROPPED = ("BOOT_IMAGE=", "initrd=", "inst.", "$")


def command_line(system: System, kernel: Kernel) -> str:
    """What the image's own boot loader hands to ``kernel``, with a ``root=`` that holds on any machine.

    It comes from the first of: a ``grub.cfg``, an entry of the boot loader specification, ``/etc/kernel/cmdline``,
    ``/etc/default/grub``, else ``ro``. A ``root=`` that names a device by its position is replaced by the
    filesystem's UUID. Raises Damaged.
    """
    arguments = next((found for found in _sources(system, kernel) if found), ["ro"])
    arguments = [word for word in arguments if not word.startswith(_DROPPED) and word.isprintable()]
    roots = [word for word in arguments if word.startswith("root=")]
    rest = [word for word in arguments if not word.startswith("root=")]
    lasts = bool(roots) and _lasts(roots[-1].removeprefix("root="))
    root = roots[-1] if lasts else _root(system) or "".join(roots[-1:])
    tree = system.root
    if tree is not None and tree.subvolume and not any("subvol" in word for word in rest):
        rest.append(f"rootflags=subvol={tree.subvolume}")
    return " ".join([*([root] if root else []), *rest])


def _root(system: System) -> str:
    tree = system.root
    if tree is None:
        return ""
    if tree.uuid:
        return f"root=UUID={tree.uuid}"
    device = mounted(tree.text("/etc/fstab") or "", "/")[0]
    return f"root={device}" if _lasts(device) and device.isprintable() else ""


def _lasts(device: str) -> bool:
    """Whether a device is named by what stays with it, not by its position."""
    return device.startswith(_LASTING) and device not in _LASTING


def _sources(system: System, kernel: Kernel) -> Iterator[list[str]]:
    name = kernel.kernel.path.rpartition("/")[2]
    for tree, folder in system.boot:
        for loader in ("grub", "grub2"):
            text = tree.text(f"{folder}/{loader}/grub.cfg", 2**22)
            if text:
                yield _grub(text, name)
    for tree, folder in system.boot:
        yield _entry(tree, folder, kernel.version, name)
    if system.root is not None:
        yield (system.root.text("/etc/kernel/cmdline") or "").split()
        yield _defaults(system.root.text("/etc/default/grub") or "")


def _grub(text: str, name: str) -> list[str]:
    """The arguments of the first entry of a grub.cfg that starts the kernel."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in ("linux", "linux16", "linuxefi") and words[1].rpartition("/")[2] == name:
            return _split(" ".join(words[2:])) or ["ro"]
    return []


def _entry(tree: Tree, folder: str, version: str, name: str) -> list[str]:
    """The options of the entry (Boot Loader Specification, type 1) for the kernel; ``$kernelopts`` is in grubenv."""
    entries = f"{folder}/loader/entries"
    for entry in tree.names(entries):
        text = tree.text(f"{entries}/{entry}") if entry.endswith(".conf") else None
        keys: dict[str, str] = {}
        for line in (text or "").splitlines():
            key, _, value = line.strip().partition(" ")
            keys[key] = f"{keys[key]} {value.strip()}" if key == "options" and key in keys else value.strip()
        if keys.get("version") != version and keys.get("linux", "").rpartition("/")[2] != name:
            continue
        options = keys.get("options", "")
        if "$kernelopts" in options:
            options = options.replace("$kernelopts", _kernelopts(tree, folder))
        return _split(options)
    return []


def _kernelopts(tree: Tree, folder: str) -> str:
    for loader in ("grub2", "grub"):
        for line in (tree.text(f"{folder}/{loader}/grubenv") or "").splitlines():
            if line.startswith("kernelopts="):
                return line.removeprefix("kernelopts=")
    return ""


def _defaults(text: str) -> list[str]:
    """What grub-mkconfig would take from ``/etc/default/grub``; read, never run."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=(.*)", line)
        if match:
            values[match[1]] = " ".join(_split(match[2]))
    both = f"{values.get('GRUB_CMDLINE_LINUX', '')} {values.get('GRUB_CMDLINE_LINUX_DEFAULT', '')}".split()
    return ["ro", *both] if values else []


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=False)
    except ValueError:
        return text.split()
