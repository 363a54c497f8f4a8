"""The packages of the toy operating system: a repository that fits into a few kilobytes, made anew in every process."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOMENT = 1_700_000_000
"""What the repository says of its age, in seconds since 1970: the SOURCE_DATE_EPOCH of toy images."""

KERNEL = "1.0-toy"
"""The version of the kernel that the package ``kernel`` brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFile:
    """A file of a toy package, or a folder if ``content`` is None; with its true owner and mode."""

    path: str
    content: bytes | None = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyPackage:
    """A package of the toy operating system; ``script`` runs after its files are in place."""

    name: str
    version: str
    files: tuple[PackedFile, ...] = ()
    needs: tuple[str, ...] = ()
    script: bytes = b""

    def archive(self) -> bytes:
        """The package as a tar archive, the same bytes every time."""
        files = list(self.files)
        if self.script:
            files.append(PackedFile(path=f"var/lib/toypm/scripts/{self.name}", content=self.script, mode=0o755))
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for file in files:
                member = tarfile.TarInfo(file.path)
                member.mtime, member.mode, member.uid, member.gid = MOMENT, file.mode, file.uid, file.gid
                if file.content is None:
                    member.type = tarfile.DIRTYPE
                    archive.addfile(member)
                else:
                    member.size = len(file.content)
                    archive.addfile(member, io.BytesIO(file.content))
        return buffer.getvalue()


PACKAGES = (
    ToyPackage(
        name="kernel",
        version="1.0",
        files=(
            PackedFile(path=f"boot/vmlinuz-{KERNEL}", content=b"a kernel, were this not a toy\n"),
            PackedFile(path=f"usr/lib/modules/{KERNEL}/modules.dep", content=b"kernel/toy.ko:\n"),
            PackedFile(path=f"usr/lib/modules/{KERNEL}/kernel/toy.ko", content=b"\x7fELF of a toy\n"),
        ),
    ),
    ToyPackage(
        name="hello",
        version="2.0",
        files=(PackedFile(path="usr/bin/hello", content=b"#!/bin/sh\ncat /usr/share/greeting\n", mode=0o755),),
        needs=("greeting",),
    ),
    ToyPackage(
        name="greeting", version="1.1", files=(PackedFile(path="usr/share/greeting", content=b"hello, world\n"),)
    ),
    ToyPackage(
        name="mail",
        version="0.9",
        files=(
            PackedFile(path="var/spool/mail", content=None, mode=0o2775, uid=8, gid=12),
            PackedFile(path="usr/bin/deliver", content=b"#!/bin/sh\n", mode=0o4755, uid=8, gid=12),
            PackedFile(path="etc/mail.key", content=b"not a secret\n", mode=0o640, gid=12),
        ),
        script=b"#!/bin/sh\necho mail:x:12: >>/etc/group\n",
    ),
)
"""What the repository holds."""


def repository(packages: Sequence[ToyPackage] = PACKAGES) -> Mapping[str, bytes]:
    """The files of a repository by name: ``index`` and the archives, for a folder or an HTTP server."""
    files: dict[str, bytes] = {}
    lines = [f"# date {MOMENT}"]
    for package in packages:
        archive = package.archive()
        files[f"{package.name}_{package.version}.tar"] = archive
        digest = hashlib.sha256(archive).hexdigest()
        lines.append(" ".join((package.name, package.version, digest, *package.needs)))
    files["index"] = ("\n".join(lines) + "\n").encode()
    return files
