"""A look into the tree for a bill of materials: which system it is, and what its packages say of their licences.

Called as mapped root in a process of the sandbox that ends with it, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import re
import stat

_LARGEST = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_MACHINE_READABLE = re.compile(r"\Aformat:[^\n]*copyright-format/1\.0", re.IGNORECASE)
_LICENCE = re.compile(r"^license:[ \t]*([^\n]+)", re.IGNORECASE | re.MULTILINE)


def look(*, target: str, packages: list[str]) -> dict[str, object]:
    """``id``, ``version``, ``like`` (os-release(5)), and ``licences`` by package where they can be read by machines.

    The copyright files are those of Debian's machine-readable form (DEP 5); others say nothing here.
    """
    os.chroot(target)
    os.chdir("/")
    release = _release(_text("/etc/os-release") or _text("/usr/lib/os-release"))
    licences = {}
    for name in packages:
        if _NAME.fullmatch(name) and (found := licences_of(_text(f"/usr/share/doc/{name}/copyright"))):
            licences[name] = found
    return {
        "id": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "like": release.get("ID_LIKE", "").split(),
        "licences": licences,
    }


def licences_of(text: str) -> list[str]:
    """The short names of all licences that a copyright file names, sorted; none of one in free form."""
    if not _MACHINE_READABLE.match(text.lstrip()):
        return []
    return sorted({" ".join(name.split()) for name in _LICENCE.findall(text)})


def _release(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key.strip()] = value.strip().strip("\"'")
    return found


def _text(path: str) -> str:
    """The content of a plain file of the tree; empty if there is none, or one that is too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return ""
        return stream.read(_LARGEST).decode("utf-8", "replace")
