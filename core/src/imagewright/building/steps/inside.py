"""Functions that the build calls as mapped root, each in a process of the sandbox that ends with it.

Their code is imported before the namespace is made; they import nothing themselves, since the files of the
environment may lie where mapped root cannot go.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat

from imagewright.reading.versions import order


def place(*, source: str, target: str, at: str) -> None:
    """Copy what lies in the folder ``source`` into the root tree ``target`` at ``at``, owned by root.

    Links of the tree (``/lib`` to ``usr/lib``) are followed as the image sees them, never as the host does. A folder
    that exists keeps its mode, unless it is new to the tree.
    """
    top = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    _enter(target)
    os.makedirs(at, 0o755, exist_ok=True)
    for current, folders, files, descriptor in os.fwalk(".", dir_fd=top):
        here = os.path.normpath(os.path.join(at, current))
        for name in sorted(folders):
            path = os.path.join(here, name)
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                _link(os.readlink(name, dir_fd=descriptor), path)
            elif not os.path.isdir(path):
                os.mkdir(path)
                os.chmod(path, stat.S_IMODE(status.st_mode))
        for name in sorted(files):
            path = os.path.join(here, name)
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                _link(os.readlink(name, dir_fd=descriptor), path)
                continue
            if os.path.lexists(path):
                os.unlink(path)
            reading = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            with open(reading, "rb") as original, open(path, "wb") as copy:
                shutil.copyfileobj(original, copy)
            os.chmod(path, stat.S_IMODE(status.st_mode))


def copies_of(*, target: str, files: dict[str, list[object]]) -> list[str]:
    """Those of ``files`` that the tree has with this SHA-256 and, unless that is 0, this time in nanoseconds."""
    os.chroot(target)
    os.chdir("/")
    found = []
    for path, (digest, time) in files.items():
        status = os.lstat(path) if os.path.lexists(path) else None
        if status is not None and stat.S_ISREG(status.st_mode) and time in (0, status.st_mtime_ns):
            with open(path, "rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() == digest:
                    found.append(path)
    return found


def folders_among(*, target: str, paths: list[str]) -> list[str]:
    """Those of ``paths`` that are folders of the tree."""
    os.chroot(target)
    os.chdir("/")
    return [path for path in paths if os.path.isdir(path)]


def remove_files(*, target: str, files: list[str], folders: list[str]) -> None:
    """Remove files of the tree, and those of ``folders`` that are empty then, in that order."""
    os.chroot(target)
    os.chdir("/")
    for path in files:
        os.unlink(path)
    for path in folders:
        if os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)


def newest_kernel(*, target: str) -> str:
    """The newest version in the tree's ``/lib/modules`` or ``/usr/lib/modules``; empty if there is none."""
    _enter(target)
    versions: set[str] = set()
    for folder in ("/usr/lib/modules", "/lib/modules"):
        if os.path.isdir(folder):
            versions |= {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    return max(versions, key=order, default="")


def name_image(*, target: str, image: str, version: str) -> None:
    """Write IMAGE_ID and IMAGE_VERSION into the tree's os-release (os-release(5))."""
    _enter(target)
    # IMAGE_ID is a word of lower-case letters, digits and "._-"; the file is read as shell by many
    image = re.sub(r"[^a-z0-9._-]+", "-", image.lower()).strip("-") or "image"
    for name in ("/usr/lib/os-release", "/etc/os-release"):
        if os.path.isfile(name) and not os.path.islink(name):
            lines = [line for line in _text(name).splitlines() if not line.startswith("IMAGE_")]
            text = "\n".join([*lines, f"IMAGE_ID={image}", f"IMAGE_VERSION={version}"]) + "\n"
            with open(name, "wb") as file:
                file.write(text.encode(errors="surrogateescape"))
            return


def open_accounts(*, target: str) -> list[str]:
    """Accounts that a password, or none at all, opens (shadow(5)), as sentences."""
    _enter(target)
    found = []
    for line in _text("/etc/shadow").splitlines():
        name, _, rest = line.partition(":")
        account = name.encode(errors="backslashreplace").decode()
        password = rest.split(":", 1)[0]
        if not password:
            found.append(f"the account {account} logs in without a password")
        elif password[0] not in "*!":
            found.append(f"the account {account} has a usable password")
    return found


def _enter(target: str) -> None:
    """See paths and links as the image does: a link to ``/opt`` must not lead to the host's."""
    os.chroot(target)
    os.chdir("/")


def _text(path: str) -> str:
    """The content of a file whose bytes may be anything; empty if there is none."""
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        return file.read().decode(errors="surrogateescape")


def _link(target: str, path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)
