"""Lays ready, in a folder, executables of this machine or a kernel of another root, with what they need.

Whoever calls reads them with the caller's rights, so that the sandbox need not reach them. The folder is a root then.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagewright.ramdisk.archive import Member
from imagewright.ramdisk.contents import Contents
from imagewright.ramdisk.executables import Executables, Source, Wanted
from imagewright.ramdisk.kernels import Asked, KernelSource, newest, put_kernel
from imagewright.ramdisk.layout import MERGED, merged_path
from imagewright.ramdisk.roots import Root, reading

HOST = "host"
"""What the manifest calls the machine that builds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedKernel:
    """A kernel that lies ready; ``name`` says where it is from, ``asked`` what its modules ask for."""

    version: str
    name: str
    asked: Mapping[str, Asked]


def host_folders(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The folders of the caller's ``$PATH``, those of the system behind them, as a ramdisk has them."""
    given = [part for part in environment.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    return tuple(dict.fromkeys((*given, "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")))


def staged_folders(folders: Sequence[str]) -> tuple[str, ...]:
    """Where executables of these folders are in the copy."""
    return tuple(merged_path(f"{folder}/x")[:-2] for folder in folders)


def stage_host(wanted: Iterable[Wanted], folder: Path, folders: Sequence[str]) -> None:
    """Copy executables of this machine, found in ``folders``, with their libraries; what it lacks is left out.

    Raises StepFailed for a library that this machine lacks.
    """
    root = Root("", HOST)
    contents = Contents()
    executables = Executables(contents, [Source(root=root, folders=tuple(folders))])
    for one in wanted:
        executables.put(one)
    # the loader's settings, so that libraries are found in the copy as here
    for path in ("/etc/ld.so.conf", "/etc/ld.so.conf.d"):
        executables.put(Wanted(name=path, asked=(HOST,)))
    folder.mkdir(mode=0o755)
    with reading():
        _write(contents, folder, HOST)


def stage_kernel(source: KernelSource, wanted: Iterable[tuple[str, str, bool]], folder: Path) -> StagedKernel:
    """Copy a kernel with the modules that are wanted and their firmware. Raises StepFailed, PermissionError."""
    root, version = source.root, source.version
    contents = Contents()
    kernel = put_kernel(contents, source, wanted)
    contents.put(root.member(kernel.image, f"boot/vmlinuz-{version}", 0o644), origin=root.name)
    folder.mkdir(mode=0o755)
    _write(contents, folder, root.name)
    # what is known of the modules is known of their copies
    for path, (_, moment, _) in kernel.asked.items():
        os.utime(folder / "usr/lib/modules" / version / path, (moment, moment))
    return StagedKernel(version=version, name=root.name, asked=kernel.asked)


def stage_kernel_of_tree(
    *, target: str, name: str, version: str, wanted: Sequence[Sequence[Any]], folder: str
) -> dict[str, Any]:
    """The same for the tree at ``target``, called as mapped root; no ``version`` means the newest."""
    root = Root(target, name)
    modules = [(str(one[0]), str(one[1]), bool(one[2])) for one in wanted]
    staged = stage_kernel(KernelSource(root=root, version=version or newest(root)), modules, Path(folder))
    return {"version": staged.version, "name": staged.name, "asked": dict(staged.asked)}


def _write(contents: Contents, folder: Path, origin: str) -> None:
    for one in contents.finished():
        member = one.member
        # the layout is the contents' own: without its links the interpreter of a program would not be found
        if one.origin == origin or member.kind == "folder" or member.path in MERGED:
            _write_member(member, folder / member.path)


def _write_member(member: Member, path: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if member.kind == "folder":
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
    elif member.kind == "link":
        path.symlink_to(member.target)
    elif member.source:
        shutil.copyfile(member.source, path)
        path.chmod(member.mode | 0o444)
    else:
        path.write_bytes(member.read())
        path.chmod(member.mode | 0o444)
