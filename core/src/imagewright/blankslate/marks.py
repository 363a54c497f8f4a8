"""What tells the builder's machine and the caller: values that no image may hold. Gathered as the caller."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_UUID = re.compile(r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b")
_DISKS = ("/dev/disk/by-uuid", "/dev/disk/by-partuuid")
_TEXTS = ("/proc/cmdline", "/proc/sys/kernel/random/boot_id", "/etc/fstab")
_OWN_NAMES = frozenset({"localhost", "localhost.localdomain"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Values by which something of the builder is known in a text.

    ``names`` are the machine's, ``paths`` absolute ones of the host, ``proxies`` are as ``HOST:PORT``, ``identifiers``
    UUIDs and the like, in lower case. ``caches`` are folders of the image that the package manager fetches into, and
    ``build_files`` maps paths of files that serve the build to the SHA-256 of their content.
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    build_files: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Marks:
        """From :meth:`document`, possibly after JSON."""
        values: dict[str, Any] = {
            name: value if isinstance(value, dict) else tuple(value) for name, value in document.items()
        }
        return cls(**values)


def host_names(but: Iterable[str] = ()) -> tuple[str, ...]:
    """The names of this machine, the full one too if it has a domain; not those of ``but``, which others may have."""
    full = socket.gethostname().lower()
    common = {*_OWN_NAMES, *(name.lower() for name in but)}
    return tuple(name for name in dict.fromkeys((full, full.partition(".")[0])) if name and name not in common)


def host_identifiers(but: Iterable[str] = ()) -> tuple[str, ...]:
    """Identifiers of this machine, of its run, and of its filesystems, as far as the caller can see them."""
    found: set[str] = set()
    for folder in _DISKS:
        with suppress(OSError):
            found |= {name for name in os.listdir(folder) if len(name) > 8}
    for path in _TEXTS:
        with suppress(OSError):
            found |= set(_UUID.findall(Path(path).read_text(errors="replace")))
    with suppress(OSError):
        found.add(Path("/etc/machine-id").read_text(errors="replace").strip())
    own = {name.lower() for name in but}
    lower = {name.lower() for name in found}
    return tuple(sorted(name for name in lower - own if re.fullmatch(r"[0-9a-f-]{9,}", name)))


def proxies_of(values: Iterable[str]) -> tuple[str, ...]:
    """``HOST:PORT`` of each address of a proxy, in whatever form programs take them."""
    found = set()
    for value in values:
        with suppress(ValueError):
            parts = urlsplit(value if "//" in value else f"//{value}")
            if parts.hostname:
                host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
                found.add(f"{host}:{parts.port}" if parts.port else host)
    return tuple(sorted(found))
