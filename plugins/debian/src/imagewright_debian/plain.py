"""Plain forms of .deb files: the same members without compression (deb(5)), which dpkg unpacks for next to nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import IO

_HEAD = b"!<arch>\n"
_MEMBERS = (("control.tar", "--ctrl-tarfile"), ("data.tar", "--fsys-tarfile"))


def plain_form(archive: Path, destination: Path) -> None:
    """Write the plain form of a .deb; ``destination`` is overwritten. Raises OSError and CalledProcessError."""
    with destination.open("wb", buffering=0) as out:
        out.write(_HEAD)
        _begin(out, "debian-binary", 4)
        out.write(b"2.0\n")
        for name, option in _MEMBERS:
            place = out.tell()
            _begin(out, name, 0)
            begun = out.tell()
            # into the file itself: dpkg-deb knows every compression
            subprocess.run(
                ["dpkg-deb", option, str(archive)],
                stdout=out,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                check=True,
            )
            size = out.seek(0, 2) - begun
            if size % 2:
                out.write(b"\n")
            out.seek(place)
            _begin(out, name, size)
            out.seek(0, 2)


def _begin(out: IO[bytes], name: str, size: int) -> None:
    """Write the header of a member: name, time, owner, group, mode, size (ar(5)); nothing of the moment is in it."""
    out.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode())
