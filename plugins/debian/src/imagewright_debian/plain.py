"""Plain forms of .deb files: the same members without compression (deb(5)), which dpkg unpacks for next to nothing."""

from __future__ import annotations

import lzma
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from imagewright_debian.modules import write_unpacked

_HEAD = b"!<arch>\n"
_MEMBERS = (("control.tar", "--ctrl-tarfile"), ("data.tar", "--fsys-tarfile"))


# dpkg takes no notice of a member behind the data (deb(5)); build-files/depmod looks for this one
_MODULES = "_modules.tar"


def plain_form(archive: Path, destination: Path) -> None:
    """Write the plain form of a .deb; ``destination`` is overwritten. Raises OSError and CalledProcessError.

    That of a kernel also holds its modules without compression, where they have one.
    """
    with destination.open("w+b", buffering=0) as out:
        out.write(_HEAD)
        with _member(out, "debian-binary"):
            out.write(b"2.0\n")
        for name, option in _MEMBERS:
            with _member(out, name) as begun:
                # into the file itself: dpkg-deb knows every compression
                _dpkg_deb(option, archive, stdout=out)
        if _dpkg_deb("--field", archive, "Package").startswith(b"linux-image-"):
            _add_modules(out, begun)


def _add_modules(out: IO[bytes], data: int) -> None:
    end = out.tell()
    try:
        with open(out.name, "rb") as content, _member(out, _MODULES):
            content.seek(data)
            found = write_unpacked(content, out)
    except (tarfile.TarError, lzma.LZMAError):
        found = False  # the tree's own depmod says what is wrong with them
    if not found:
        out.truncate(end)


def _dpkg_deb(*arguments: str | Path, stdout: IO[bytes] | int = subprocess.PIPE) -> bytes:
    """What dpkg-deb printed, if it was not written to a file. Raises CalledProcessError."""
    done = subprocess.run(
        ["dpkg-deb", *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, check=True
    )
    return done.stdout or b""


@contextmanager
def _member(out: IO[bytes], name: str) -> Iterator[int]:
    """Have the content of a member of ar(5) written; where it begins."""
    place = out.tell()
    out.write(_header(name, 0))
    begun = out.tell()
    yield begun
    size = out.seek(0, 2) - begun
    if size % 2:
        out.write(b"\n")
    out.seek(place)
    out.write(_header(name, size))
    out.seek(0, 2)


def _header(name: str, size: int) -> bytes:
    """Name, time, owner, group, mode, size; nothing of the moment is in it."""
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode()
