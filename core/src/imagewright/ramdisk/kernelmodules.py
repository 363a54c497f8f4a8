"""Which kernel modules a ramdisk holds: those named, with everything that depmod(8) knows they need."""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from imagewright.ramdisk.meanwhile import meanwhile
from imagewright.ramdisk.moduleindex import subset
from imagewright.ramdisk.roots import Root

FOLDERS = ("usr/lib/modules", "lib/modules")

WHOLE = (
    "modules.builtin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.builtin.modinfo",
    "modules.devname",
    "modules.order",
    "modules.softdep",
    "modules.weakdep",
)
"""Of what depmod(8) wrote, the files that a ramdisk holds as they are."""

STANDARD = (
    # disks and what they hang on
    "drivers/ata/",
    "drivers/block/",
    "drivers/md/",
    "drivers/message/",
    "drivers/mmc/",
    "drivers/nvme/host/",
    "drivers/scsi/",
    "drivers/ufs/",
    "drivers/usb/host/",
    "drivers/usb/storage/",
    # network cards
    "drivers/net/ethernet/",
    "drivers/net/phy/",
    "drivers/net/mdio/",
    "drivers/net/bonding/",
    # virtual machines
    "drivers/virtio/",
    "drivers/hv/",
    "drivers/net/hyperv/",
    "drivers/net/vmxnet3/",
    "virtio_net",
    "net_failover",
    "xen_netfront",
    # filesystems
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859-1",
    "isofs",
    "overlay",
    "squashfs",
    # a keyboard for the troubleshooting shell
    "atkbd",
    "i8042",
    "hid_generic",
    "usbhid",
    "af_packet",
    "8021q",
    "efivarfs",
)
"""What a ramdisk holds without being asked, as far as the kernel has it: it starts on metal that nobody has seen."""

_ENDINGS = ("", ".gz", ".xz", ".zst")
"""What may come after ``.ko`` in the name of a module's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The chosen modules: ``files`` maps paths below the kernel's folder to who asked, sorted.

    ``builtin`` are names that the kernel has built in; ``missing`` maps names that it has not at all to who asked.
    """

    files: Mapping[str, tuple[str, ...]]
    builtin: tuple[str, ...] = ()
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def versions(root: Root) -> tuple[str, ...]:
    """The kernel versions whose modules are in a root."""
    found = {name for folder in FOLDERS for name in root.names(folder) if root.find(f"{folder}/{name}/modules.dep")}
    return tuple(sorted(found))


def folder_of(root: Root, version: str) -> str | None:
    """The folder of a kernel's modules, without links; None if there is none."""
    for folder in FOLDERS:
        found = root.find(f"{folder}/{version}")
        if found is not None and found.is_folder:
            return found.path
    return None


def plain(name: str) -> str:
    """The name of a module as the kernel spells it: ``-`` and ``_`` are one."""
    return name.replace("-", "_")


class KernelModules:
    """What depmod wrote down about the modules of one kernel."""

    def __init__(self, root: Root, folder: str) -> None:
        self._root = root
        self._folder = folder
        self._needs: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._text = root.text(f"{folder}/modules.dep")
        for line in self._text.splitlines():
            path, _, needs = line.partition(":")
            self._needs[path] = needs
            self._names[path] = module_name(path)
        self._files = {name: path for path, name in self._names.items()}

    def select(self, wanted: Iterable[tuple[str, str, bool]]) -> Selected:
        """Choose modules by (name, who asks, whether it may be missing), with what they need.

        A name that ends in ``/`` is a folder below ``kernel/``, such as ``drivers/net/ethernet/``; else it is a module
        or an alias of modules.
        """
        files: dict[str, dict[str, None]] = {}
        builtin: dict[str, None] = {}
        missing: dict[str, dict[str, None]] = {}
        for name, asker, optional in wanted:
            found = self._named(name)
            if found is None:
                if not optional:
                    missing.setdefault(name, {})[asker] = None
            elif not found:
                builtin[name] = None
            waiting = list(found or ())
            while waiting:
                path = waiting.pop()
                askers = files.setdefault(path, {})
                if asker in askers:
                    continue
                askers[asker] = None
                # depmod gives every module a line; one without is damage, and modprobe would know no more of it
                waiting += self._needs.get(path, "").split()
                waiting += self._soft(self._names.get(path) or module_name(path))
        return Selected(
            files={path: tuple(files[path]) for path in sorted(files)},
            builtin=tuple(builtin),
            missing={name: tuple(askers) for name, askers in missing.items()},
        )

    def indexes(self, files: Collection[str]) -> dict[str, Callable[[], bytes]]:
        """The indexes of depmod for the files that a ramdisk holds, by name; they are being made from now on.

        They come after all modules in an archive, so nobody waits for them.
        """
        texts = {name: self._root.text(f"{self._folder}/{name}") for name in ("modules.alias", "modules.symbols")}
        texts = {"modules.dep": self._text, **{name: text for name, text in texts.items() if text}}
        made = meanwhile(lambda: subset(texts, files, self._names))
        names = [name for text in texts for name in (text, f"{text}.bin")]
        return {name: partial(lambda name: made()[name], name) for name in names}

    def _named(self, name: str) -> tuple[str, ...] | None:
        """The files of a name; none if it is built in, None if there is nothing of the name."""
        if name.endswith("/"):
            top = f"kernel/{name.strip('/')}/"
            return self._sorted[bisect_left(self._sorted, top) : bisect_left(self._sorted, f"{top}\U0010ffff")] or None
        word = plain(name)
        if word in self._files:
            return (self._files[word],)
        if word in self._builtin:
            return ()
        found = tuple(self._files[real] for real in self._aliases(word) if real in self._files)
        if found:
            return found
        return () if word in self._builtin_aliases else None

    def _soft(self, name: str) -> tuple[str, ...]:
        """What modules.softdep and modules.weakdep name; it is often an alias, and may well be missing."""
        return tuple(path for word in self._softdeps.get(name, ()) for path in self._named(word) or ())

    def _aliases(self, word: str) -> Iterable[str]:
        exact, patterns = self._named_aliases
        yield from exact.get(word, ())
        for pattern, real in patterns:
            if fnmatch.fnmatchcase(word, pattern):
                yield real

    @cached_property
    def _sorted(self) -> tuple[str, ...]:
        return tuple(sorted(self._needs))

    @cached_property
    def _softdeps(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for file in ("modules.softdep", "modules.weakdep"):
            for line in self._root.text(f"{self._folder}/{file}").splitlines():
                words = line.split()
                if len(words) > 2 and words[0] in ("softdep", "weakdep"):
                    named = tuple(word for word in words[2:] if word not in ("pre:", "post:"))
                    found[plain(words[1])] = (*found.get(plain(words[1]), ()), *named)
        return found

    @cached_property
    def _builtin(self) -> frozenset[str]:
        lines = self._root.text(f"{self._folder}/modules.builtin").split()
        return frozenset(module_name(line) for line in lines)

    @cached_property
    def _named_aliases(self) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
        """Aliases that are names, and those that are patterns; those of devices have a colon and are nobody's wish."""
        exact: dict[str, list[str]] = {}
        patterns: list[tuple[str, str]] = []
        lines = self._root.text(f"{self._folder}/modules.alias").splitlines()
        for words in (line.split() for line in lines if ":" not in line):
            if words[:1] == ["alias"] and len(words) > 2:
                name, real = plain(words[1]), plain(words[2])
                if any(mark in name for mark in "*?["):
                    # thousands of expressions cost more to compile than all the rest of a ramdisk
                    patterns.append((name, real))
                else:
                    exact.setdefault(name, []).append(real)
        return exact, patterns

    @cached_property
    def _builtin_aliases(self) -> frozenset[str]:
        data = self._root.read(f"{self._folder}/modules.builtin.modinfo") or b""
        return frozenset(plain(text.decode("utf-8", "replace")) for text in re.findall(rb"\.alias=([^\0:]+)\0", data))


def module_name(path: str) -> str:
    """The name of the module in a file: ``kernel/drivers/net/nlmon.ko.xz`` has ``nlmon``."""
    base = path.rpartition("/")[2]
    name, _, ending = base.rpartition(".ko")
    return plain(name if name and ending in _ENDINGS else base)
