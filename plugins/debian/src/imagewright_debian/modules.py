"""Kernel modules without compression, beside the archive that brings them: depmod reads every one from end to end.

Debian compresses each module by itself, with xz(1); a kernel has over four thousand, and to unpack them is most of what
an index of them costs. What depmod(8) makes of the modules does not depend on how they are compressed, if their names
stay as they are: it tells compression by a file's first bytes.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

FOLDER = "usr/lib/modules/"
"""Where the modules lie in a tree, and in what :func:`write_unpacked` writes."""

SUMS = "SHA256SUMS"
"""The digests of the modules as they are packed, with names relative to :data:`FOLDER`, for sha256sum(1)."""

_AT_ONCE = 64  # modules in memory at a time, packed and unpacked


def write_unpacked(data: IO[bytes], out: IO[bytes]) -> bool:
    """Write a tar of the modules of ``data`` (the data.tar of an archive, which is sought in), without compression.

    Beside the modules lie the other files of their folder and :data:`SUMS`. False, and nothing is written, if
    ``data`` has no module under xz. Raises OSError, tarfile.TarError, and lzma.LZMAError for a broken module.
    """
    with tarfile.open(fileobj=data, mode="r:") as archive:
        found = [member for member in archive if member.isfile() and FOLDER[4:] in member.name]
        if not any(member.name.endswith(".ko.xz") for member in found):
            return False
        with (
            tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as unpacked,
            ThreadPoolExecutor(os.cpu_count()) as threads,
        ):
            sums = []
            for member, content, digest in _unpacked(archive, found, threads):
                name = member.name.partition(FOLDER[4:])[2]
                if ".ko" in name.rpartition("/")[2]:
                    sums.append(f"{digest}  {name}\n")
                _add(unpacked, FOLDER + name, content)
            _add(unpacked, SUMS, "".join(sums).encode())
    return True


def _unpacked(
    archive: tarfile.TarFile, members: list[tarfile.TarInfo], threads: ThreadPoolExecutor
) -> Iterator[tuple[tarfile.TarInfo, bytes, str]]:
    """Each member, its content without compression, and the digest of what it was."""
    for place in range(0, len(members), _AT_ONCE):
        some = members[place : place + _AT_ONCE]
        packed = [_content(archive, member) for member in some]
        # both let go of the interpreter's lock
        yield from zip(some, threads.map(_plain, packed), threads.map(_digest, packed), strict=True)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


def _plain(content: bytes) -> bytes:
    return lzma.decompress(content) if content.startswith(b"\xfd7zXZ\0") else content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _add(unpacked: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    unpacked.addfile(member, io.BytesIO(content))
