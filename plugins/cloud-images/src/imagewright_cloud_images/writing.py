"""Writes members below the process's root, with owners, modes, times, attributes, hard links and holes.

Whoever calls has changed its root to the tree, so no name, link or hard link of an image can lead out of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from imagewright.reading.errors import Damaged

from imagewright_cloud_images.members import Member

NOBODY = 65534
HOLE = 4096
"""Zeros of that length, at a multiple of it, are left out of the file: the filesystem gives them back."""

_ZEROS = bytes(HOLE)
_REFUSED = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSPC, errno.E2BIG)
_OWN = ("user.overlay.", "trusted.overlay.")


class Writer:
    """Writes one tree. ``lost`` holds what cannot be kept: the reason, with the paths."""

    def __init__(self) -> None:
        self.lost: dict[str, list[str]] = {}
        self.count = 0
        self._times: list[tuple[str, int]] = []

    def write(self, member: Member) -> None:
        """Write one member; what has its name already gives way, except that folders stay. Raises Damaged, OSError."""
        path = f"/{member.path}"
        self.count += 1
        match member.kind:
            case "folder":
                self._folder(path, member)
            case "file":
                self._file(path, member)
            case "link":
                _make_way(path)
                os.symlink(member.target, path)
                self._dress(path, member)
            case "same":
                self._same(path, member)
            case "fifo":
                _make_way(path)
                os.mkfifo(path)
                self._dress(path, member)
            case "device":
                self._lose("device nodes, which a running machine makes itself", member.path)
            case "socket":
                self._lose("what is neither file, folder, link, pipe nor device", member.path)

    def finish(self) -> None:
        """Give folders their times, now that nothing changes in them any more."""
        for path, time in reversed(self._times):
            os.utime(path, ns=(time, time))

    def losses(self) -> Iterator[str]:
        """What could not be kept, as sentences without a period."""
        for reason, paths in self.lost.items():
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            yield f"{reason}: {', '.join(paths[:3])}{more}"

    def _folder(self, path: str, member: Member) -> None:
        if os.path.islink(path) and os.path.isdir(path):
            return  # an archive of several layers: what is in the folder goes to where the link leads
        if not os.path.isdir(path):
            _make_way(path)
            os.mkdir(path)
        self._dress(path, member)
        self._times.append((path, member.time))

    def _file(self, path: str, member: Member) -> None:
        _make_way(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            written = 0
            for data in member.content() if member.content else ():
                _write(descriptor, data)
                written += len(data)
            if written != member.size:
                raise Damaged(f"{member.path} has {written} bytes where {member.size} are stated")
            os.ftruncate(descriptor, written)
        finally:
            os.close(descriptor)
        self._dress(path, member)

    def _same(self, path: str, member: Member) -> None:
        first = f"/{member.target}"
        try:
            if stat.S_ISDIR(os.lstat(first).st_mode) or member.target == member.path:
                raise Damaged(f"{member.path} is a hard link to {member.target}, which no file can be")
            _make_way(path)
            os.link(first, path, follow_symlinks=False)
        except FileNotFoundError as error:
            if any(member.target in paths for paths in self.lost.values()):
                self._lose("hard links to what was not kept", member.path)
                return
            raise Damaged(f"{member.path} is a hard link to {member.target}, which is not there") from error

    def _dress(self, path: str, member: Member) -> None:
        mode = member.mode
        try:
            os.lchown(path, member.uid, member.gid)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # who cannot be named may own nothing that runs as its owner
            self._lose("owners with ids above those of an ordinary system; nobody owns the files now", member.path)
            os.lchown(path, NOBODY, NOBODY)
            mode &= 0o1777
        if member.kind != "link":
            os.chmod(path, mode)
        for name, value in member.attributes.items():
            if name.startswith(_OWN):
                continue
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
                self._lose(f"the extended attribute {name}", member.path)
        if member.kind != "folder":
            os.utime(path, ns=(member.time, member.time), follow_symlinks=False)

    def _lose(self, reason: str, path: str) -> None:
        self.lost.setdefault(reason, []).append(path)


def _make_way(path: str) -> None:
    """Remove what has the name, and make the folders above it that an archive does not name."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        return
    if stat.S_ISDIR(found.st_mode):
        try:
            os.rmdir(path)
        except OSError as error:
            raise Damaged(f"{path} is a folder that holds something, and then something else") from error
    else:
        os.unlink(path)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    at = 0
    while at < len(view):
        end = at
        hole = view[at : at + HOLE] == _ZEROS
        while end < len(view) and (view[end : end + HOLE] == _ZEROS) is hole:
            end += HOLE
        end = min(end, len(view))
        if hole:
            os.lseek(descriptor, end - at, os.SEEK_CUR)
        else:
            part = view[at:end]
            while part:
                part = part[os.write(descriptor, part) :]
        at = end
