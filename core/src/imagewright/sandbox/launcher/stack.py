"""Layers mounted as one directory, in a job's own mount namespace. Runs in the launcher's children."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Sequence
from typing import Any

from imagewright.sandbox import syscalls
from imagewright.sandbox.jobs import KEPT, TARGET, WORK

MOST_LAYERS = 497
"""How many lower layers a job can have: the kernel stacks 500, and up to three are the sandbox's own."""

POINTS = ("proc", "sys", "dev", "run", "tmp", "var/tmp")
"""The folders of a tree that a job inside sees covered by mounts of its own."""

RESOLVER = "etc/resolv.conf"
_BINDS = "/run/imagewright/binds"
_SHORT = "/run/imagewright/layers"
_OPAQUE = "user.overlay.opaque"


def mount_stack(stack: dict[str, Any], passing: str, *, inside: bool, resolver: bool, binds: Sequence[str]) -> None:
    """Mount the layers at TARGET, as mapped root: the mounter's ids are those that the overlay acts with.

    ``passing`` names a folder beside the layers for what lasts as long as the job. ``inside``: mount points that the
    tree lacks, ``binds`` among them, come from a layer below all others and leave no trace in the upper one; with
    ``resolver`` a tree that lacks a usable ``/etc/resolv.conf`` gets an empty one, to mount over, in the same way.
    """
    layers = f"{WORK}/layers"
    lower = [
        f"{KEPT}/{name.removeprefix('kept/')}/tree" if name.startswith("kept/") else f"{layers}/{name}"
        for name in stack["lower"]
    ]
    if len(lower) > MOST_LAYERS:
        raise OSError(errno.E2BIG, f"{len(lower)} layers are more than the {MOST_LAYERS} that can be stacked")
    upper = None if stack["upper"] is None else f"{layers}/{stack['upper']}"
    here = f"{layers}/{passing}"
    if upper is None and inside:
        upper = f"{here}/upper"  # goes with the job
    if upper is not None and not os.path.isdir(upper):
        os.makedirs(upper, 0o755)
        if lower:
            _copy_attributes(lower[0], upper)
    if not lower and upper is not None:
        syscalls.mount(upper, TARGET, flags=syscalls.MS_BIND)
        return
    if upper is None and len(lower) == 1:
        syscalls.mount(lower[0], TARGET, flags=syscalls.MS_BIND)
        syscalls.make_read_only(TARGET)
        return
    if inside:
        every = lower if upper is None else [upper, *lower]
        if resolver and not _resolves(every):
            lower.insert(0, _resolver_layer(f"{here}/names", every))
        if extra := _mount_points_of(binds, f"{here}/points"):
            lower.append(extra)
        lower.append(_mount_points(f"{layers}/.points"))
    _overlay(lower, upper, here)


def _overlay(lower: Sequence[str], upper: str | None, here: str) -> None:
    # mount options end at one page: links keep the names short
    os.mkdir(_SHORT)
    for number, folder in enumerate(lower):
        os.symlink(folder, f"{_SHORT}/{number}")
    os.chdir(_SHORT)
    options = f"userxattr,lowerdir={':'.join(str(number) for number in range(len(lower)))}"
    try:
        if upper is None:
            syscalls.mount("overlay", TARGET, "overlay", syscalls.MS_RDONLY, options)
            return
        os.symlink(upper, "upper")
        os.makedirs(f"{here}/work", 0o755)
        os.symlink(f"{here}/work", "work")
        options += ",upperdir=upper,workdir=work"
        try:
            # nothing waits for the disk: a layer that a crash cuts short is thrown away with its build
            syscalls.mount("overlay", TARGET, "overlay", 0, f"{options},volatile")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            syscalls.mount("overlay", TARGET, "overlay", 0, options)
    finally:
        os.chdir("/")


def _mount_points(folder: str) -> str:
    """A layer below all others with the folders that every job inside covers; it shows where the tree lacks one."""
    if os.path.isdir(folder):
        return folder
    for name in POINTS:
        os.makedirs(f"{folder}/{name}", 0o755, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        os.chmod(f"{folder}/{name}", 0o1777)  # noqa: S103 - as everywhere
    return folder


def _mount_points_of(binds: Sequence[str], folder: str) -> str | None:
    """Such a layer for what one job mounts elsewhere; None if it mounts nothing there."""
    made = False
    for number, target in enumerate(binds):
        path = posixpath.normpath(target).strip("/")
        if any(path == name or path.startswith(f"{name}/") for name in POINTS):
            continue
        made = True
        if os.path.isdir(f"{_BINDS}/{number}"):
            os.makedirs(f"{folder}/{path}", 0o755, exist_ok=True)
        else:
            os.makedirs(posixpath.dirname(f"{folder}/{path}"), 0o755, exist_ok=True)
            os.close(os.open(f"{folder}/{path}", os.O_WRONLY | os.O_CREAT, 0o644))
    return folder if made else None


def _resolver_layer(folder: str, layers: Iterable[str]) -> str:
    """A layer that shows an empty ``/etc/resolv.conf``, in an ``/etc`` that looks like the tree's own.

    It lies above the other lower layers, since one of those may hide the name. Where the upper layer itself hides it,
    because an earlier job with the same one took it away, names stay unresolved.
    """
    os.makedirs(f"{folder}/etc", 0o755)
    os.close(os.open(f"{folder}/{RESOLVER}", os.O_WRONLY | os.O_CREAT, 0o644))
    layers = list(layers)
    for layer in layers:
        if _is_folder(f"{layer}/etc"):
            _copy_attributes(f"{layer}/etc", f"{folder}/etc")
            break
    # the topmost lower layer also gives the tree's root its attributes, where the upper one does not
    _copy_attributes(layers[0], folder)
    return folder


def _resolves(layers: Sequence[str]) -> bool:
    """Whether the tree's ``/etc/resolv.conf`` can be mounted over, or leads to the job's own ``/run``."""
    found = _topmost(layers, RESOLVER)
    if found is None:
        return False
    if not stat.S_ISLNK(os.lstat(found).st_mode):
        return True
    path = posixpath.normpath(posixpath.join("/etc", os.readlink(found)))
    return path.startswith("/run/") or _topmost(layers, path.strip("/")) is not None


def _topmost(layers: Sequence[str], path: str) -> str | None:
    """The file that the layers show at a path whose folders are no links; None if they show none."""
    parents = [path[:end] for end, letter in enumerate(path) if letter == "/"]
    for layer in layers:
        try:
            found = os.lstat(f"{layer}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            if any(_hides(f"{layer}/{parent}") for parent in parents):
                return None
            continue
        return None if _is_whiteout(found) else f"{layer}/{path}"
    return None


def _hides(path: str) -> bool:
    """Whether something in a layer keeps what lower layers have below ``path`` from being seen."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return True
    try:
        return os.getxattr(path, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _copy_attributes(source: str, target: str) -> None:
    found = os.lstat(source)
    os.chown(target, found.st_uid, found.st_gid)
    os.chmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith("user.overlay."):
            with contextlib.suppress(OSError):  # one that only the host's root may set
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
