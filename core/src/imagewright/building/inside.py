"""Functions that the build calls as mapped root, in a process of the sandbox. Standard library only.

Their code is imported before the namespace is made; they import nothing themselves, since the files of the
environment may lie where mapped root cannot go.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path


def place(*, source: str, target: str, at: str) -> None:
    """Copy what lies in the folder ``source`` into the root tree ``target`` at ``at``, owned by root.

    Links of the tree (``/lib`` to ``usr/lib``) are followed as the image sees them, never as the host does. A folder
    that exists keeps its mode, unless it is new to the tree.
    """
    top = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    os.chroot(target)
    os.chdir("/")
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


def newest_kernel(*, target: str) -> str:
    """The newest version in the tree's ``/lib/modules`` or ``/usr/lib/modules``; empty if there is none."""
    versions = set()
    for folder in ("usr/lib/modules", "lib/modules"):
        path = Path(target, folder)
        if path.is_dir() and not (folder == "lib/modules" and Path(target, "lib").is_symlink()):
            versions |= {entry.name for entry in path.iterdir() if entry.is_dir()}
    return max(versions, key=_version_key, default="")


def name_image(*, target: str, image: str, version: str) -> None:
    """Write IMAGE_ID and IMAGE_VERSION into the tree's os-release (os-release(5))."""
    # IMAGE_ID is a word of lower-case letters, digits and "._-"; the file is read as shell by many
    image = re.sub(r"[^a-z0-9._-]+", "-", image.lower()).strip("-") or "image"
    for name in ("usr/lib/os-release", "etc/os-release"):
        path = Path(target, name)
        if path.is_file() and not path.is_symlink():
            lines = [line for line in path.read_text().splitlines() if not line.startswith("IMAGE_")]
            path.write_text("\n".join([*lines, f"IMAGE_ID={image}", f"IMAGE_VERSION={version}"]) + "\n")
            return


def ties(*, target: str) -> list[str]:
    """What in the tree would tie an image to one machine, as sentences; empty for a blank slate."""
    root = Path(target)
    found = [f"/{key.relative_to(root)} is a host key" for key in sorted(root.glob("etc/ssh/ssh_host_*"))]
    machine_id = root / "etc/machine-id"
    if machine_id.is_file() and machine_id.read_text().strip() not in ("", "uninitialized"):
        found.append("/etc/machine-id is set")
    for name in ("var/lib/systemd/random-seed", "var/lib/dbus/machine-id", "root/.bash_history"):
        path = root / name
        if path.is_file() and not path.is_symlink() and path.read_bytes():
            found.append(f"/{name} holds what belongs to one machine")
    return found


def open_accounts(*, target: str) -> list[str]:
    """Accounts that a password, or none at all, opens (shadow(5)), as sentences."""
    shadow = Path(target, "etc/shadow")
    found = []
    for line in shadow.read_text().splitlines() if shadow.is_file() else ():
        account, _, rest = line.partition(":")
        password = rest.split(":", 1)[0]
        if not password:
            found.append(f"the account {account} logs in without a password")
        elif password[0] not in "*!":
            found.append(f"the account {account} has a usable password")
    return found


def _link(target: str, path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def _version_key(version: str) -> list[tuple[int, int | str]]:
    parts: list[tuple[int, int | str]] = []
    for part in re.findall(r"\d+|[a-z]+", version):
        parts.append((1, int(part)) if part.isdigit() else (0, part))
    return parts
