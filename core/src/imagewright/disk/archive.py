"""Writes a root tree as a tar archive, the same bytes for the same tree."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from imagewright.disk import tools


def write_tar(*, target: str, archive: str, epoch: int) -> dict[str, str]:
    """Write the tree at ``target`` to ``archive``: pax format, sorted, owners as numbers, all extended attributes.

    File capabilities are kept as ``SCHILY.xattr.security.capability``, hard links as links. Times of modification are
    at most ``epoch``; device nodes and sockets are left out. Returns the versions of the programs by name.
    Runs where owners are mapped, or all owners and capabilities would be the caller's view of them.
    Raises HostError if the disk is full; no part of an archive is left then.
    """
    # GNU tar, as Python's tarfile marks binary attributes in a way that GNU tar does not read back quietly.
    argv = [tools.find("tar"), "--create", "--file", archive, "--directory", target, "--format=pax", "--null"]
    argv += ["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--numeric-owner", "--no-recursion"]
    argv += ["--xattrs", "--xattrs-include=*", "--xattrs-exclude=security.selinux", "--xattrs-exclude=user.overlay.*"]
    argv += [f"--mtime=@{epoch}", "--clamp-mtime", "--no-auto-compress", "--verbatim-files-from", "--files-from=-"]
    names = b"".join(b"." + name + b"\0" for name in _names(target))
    done = subprocess.run(argv, input=names, capture_output=True, check=False, env=tools.environment(epoch))
    if done.returncode:
        Path(archive).unlink(missing_ok=True)
        raise tools.failure("tar", done.returncode, done.stderr.decode(errors="replace"))
    return tools.versions(["tar"])


def _names(target: str) -> list[bytes]:
    """The paths of everything that goes into the archive, ``/`` first, in the order of their bytes."""
    names = [b"/"]
    folders = [b""]
    root = os.fsencode(target)
    while folders:
        folder = folders.pop()
        with os.scandir(root + folder) as entries:
            for entry in entries:
                name = folder + b"/" + entry.name
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    folders.append(name)
                elif stat.S_ISSOCK(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    continue
                names.append(name)
    return sorted(names)
