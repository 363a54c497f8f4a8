"""What a layer's folder holds, as digests. Standard library only: it is called as mapped root in the sandbox.

Only there can every file be read, and whiteouts and attributes are seen as the overlay sees them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

_PIECE = 1 << 18
_OPAQUE = "user.overlay.opaque"  # overlayfs(5), with the mount option userxattr


def described(*, path: str) -> dict[str, object]:
    """Entries, bytes on the disk, and both digests of the layer at ``path``.

    ``light`` covers names, kinds, modes, owners, sizes, times and targets; ``full`` also covers contents, extended
    attributes and which names are one file.
    """
    light, full = hashlib.sha256(), hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    entries = size = 0
    names: dict[tuple[int, int], int] = {}
    counted: set[tuple[int, int]] = set()
    for name, found, line in chain.from_iterable(_walk(os.fsencode(path))):
        light.update(line)
        full.update(line)
        full.update(_beyond(os.fsencode(path) + name, found, names, buffer))
        entries += 1
        identity = (found.st_dev, found.st_ino)
        if identity not in counted:
            counted.add(identity)
            size += found.st_blocks * 512
    return {"entries": entries, "size": size, "light": light.hexdigest(), "full": full.hexdigest()}


def copied(*, source: str, path: str) -> dict[str, object]:
    """Copy the layer at ``source`` to ``path``, which is not there, and describe the copy. Raises OSError."""
    done = subprocess.run(["cp", "-a", "--reflink=auto", "--", source, path], capture_output=True, check=False)
    if done.returncode:
        raise OSError(errno.EIO, done.stderr.decode(errors="replace").strip())
    return described(path=path)


def light(*, path: str) -> str:
    """The cheap digest alone: it reads no file. Empty if the layer cannot be read."""
    digest = hashlib.sha256()
    try:
        for folder in _walk(os.fsencode(path)):
            digest.update(b"".join(line for _name, _found, line in folder))
    except OSError:
        return ""
    return digest.hexdigest()


def may_change(layer: Path, paths: Sequence[str]) -> bool:
    """Whether a layer can show something else than those below at one of ``paths``, or below it.

    True too where only the namespace can look. ``layer`` may not be there, which changes nothing.
    """
    try:
        return any(_changes(layer, path) for path in paths)
    except OSError:
        return True


def _changes(layer: Path, path: str) -> bool:
    current = layer
    for name in path.split("/"):
        current /= name
        try:
            status = current.lstat()
        except FileNotFoundError:
            return False
        # a link or a file in a folder's place, a whiteout, or a folder that hides the one below
        if not stat.S_ISDIR(status.st_mode) or _OPAQUE in os.listxattr(current, follow_symlinks=False):
            return True
    return True


def _walk(root: bytes) -> Iterator[list[tuple[bytes, os.stat_result, bytes]]]:
    """Everything below ``root``, the folder itself first: name, status and line of what is in each folder.

    In the order of the names' bytes. Tens of thousands of entries are looked at before every build: each from the
    descriptor of its folder, since the kernel would follow a path from the top for each.
    """
    top = os.lstat(root)
    yield [(b"", top, _line(b"", top, b""))]
    folders = [b""]
    while folders:
        folder = folders.pop()
        descriptor = os.open(root + folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = []
            for own in sorted(map(os.fsencode, os.listdir(descriptor))):
                name = b"%b/%b" % (folder, own)
                status = os.lstat(own, dir_fd=descriptor)
                kind = stat.S_IFMT(status.st_mode)
                if kind == stat.S_IFDIR:
                    folders.append(name)
                target = os.readlink(own, dir_fd=descriptor) if kind == stat.S_IFLNK else b""
                found.append((name, status, _line(name, status, target)))
        finally:
            os.close(descriptor)
        yield found


def _line(name: bytes, found: os.stat_result, target: bytes) -> bytes:
    # the size of a folder is the filesystem's own affair
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    numbers = (found.st_mode, found.st_uid, found.st_gid, size, found.st_mtime_ns, found.st_rdev)
    return b"%b\0%b\0%d,%d,%d,%d,%d,%d\n" % (name, target, *numbers)


def _beyond(path: bytes, found: os.stat_result, names: dict[tuple[int, int], int], buffer: memoryview) -> bytes:
    """What the light digest leaves out of one entry."""
    parts = []
    for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, attribute, follow_symlinks=False)
        parts.append(f"{attribute}={hashlib.sha256(value).hexdigest()}")
    if stat.S_ISREG(found.st_mode):
        if found.st_nlink > 1:
            parts.append(f"file {names.setdefault((found.st_dev, found.st_ino), len(names))}")
        parts.append(_content(path, buffer))
    return "\0".join(parts).encode()


def _content(path: bytes, buffer: memoryview) -> str:
    """The checksum of a file's content. Thousands of small files share one buffer: a fresh one each costs as much.

    It tells what a disk got wrong, at three times the speed of a SHA-256. It need not withstand anybody: whoever can
    change a layer can change what is written beside it.
    """
    checksum = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while size := os.readv(descriptor, [buffer]):
            checksum = zlib.crc32(buffer[:size], checksum)
            if size < len(buffer):
                break
    finally:
        os.close(descriptor)
    return f"{checksum:08x}"
