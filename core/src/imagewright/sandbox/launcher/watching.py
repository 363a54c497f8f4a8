"""What a job opens in its tree, as the kernel tells it (inotify(7)). Runs in the launcher's children.

Every folder of the tree is watched from before the job starts. The overlay tells of a file's opening whichever layer
has it, by a program, by the kernel for a program that starts, and for what is mapped into memory: all of it is opened
first. Folders that the job itself makes are not watched: what lies there is the job's own, or was moved or linked
there, and then the layer that takes what the job writes shows the old name.
"""

from __future__ import annotations

import json
import os
import select
import stat
import struct

from imagewright.sandbox import syscalls

_EVENT = struct.Struct("=iIII")
_PIECE = 1 << 18
_OVERFLOW, _UNMOUNTED = 0x4000, 0x2000


class Watch:
    """The folders of one tree, watched; ``spoiled`` says why what was seen is not everything, empty if it is.

    Nothing here keeps a job from running: what the kernel refuses only spoils the watch.
    """

    def __init__(self, top: str) -> None:
        """Watch every folder of the tree at ``top``; whatever is opened from now on is seen."""
        self.spoiled = ""
        self._folders: dict[int, bytes] = {}
        self._opened: set[tuple[int, bytes]] = set()
        self._listed: set[bytes] = set()
        self._descriptor: int | None = None
        try:
            self._descriptor = syscalls.watching()
            # the walk opens folders itself, so that it ends before the first of them is watched
            for folder in list(_folders(os.fsencode(top))):
                number = syscalls.watch_openings(self._descriptor, os.fsencode(top) + b"/" + folder)
                self._folders[number] = folder
        except OSError as error:
            self.spoiled = f"not every folder can be watched: {error.strerror}"

    def forget(self) -> None:
        """Close the kernel's end, in a process that only inherited it."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def follow(self, process: int) -> None:
        """Take note of what is opened until the process of the pidfd ``process`` has ended."""
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if self._descriptor is not None:
            poll.register(self._descriptor, select.POLLIN)
        ended = False
        while not ended:
            ended = any(descriptor == process for descriptor, _event in poll.poll())
            self._take()

    def write(self, descriptor: int) -> None:
        """Write what was seen, as JSON: ``spoiled``, and the sorted paths ``opened`` and ``listed`` (folders)."""
        opened = {_joined(self._folders[number], name) for number, name in self._opened}
        seen = {
            "spoiled": self.spoiled,
            "opened": sorted(map(os.fsdecode, opened)),
            "listed": sorted(map(os.fsdecode, self._listed)),
        }
        # as bytes: the job's root hides Python's codecs by now
        with open(descriptor, "wb") as stream:
            stream.write(json.dumps(seen).encode())

    def _take(self) -> None:
        """Read everything that the kernel has ready."""
        while self._descriptor is not None:
            try:
                events = os.read(self._descriptor, _PIECE)
            except BlockingIOError:
                return
            at = 0
            while at < len(events):
                number, mask, _cookie, length = _EVENT.unpack_from(events, at)
                at += _EVENT.size + length
                self._note(number, mask, events[at - length : at].rstrip(b"\0"))

    def _note(self, number: int, mask: int, name: bytes) -> None:
        if mask & (_OVERFLOW | _UNMOUNTED):
            self.spoiled = "more was opened at once than the kernel tells of"
        elif mask & syscalls.IN_OPEN:
            if mask & syscalls.IN_ISDIR:
                self._listed.add(_joined(self._folders[number], name))
            else:
                self._opened.add((number, name))


def _folders(top: bytes) -> list[bytes]:
    """All folders of a tree as paths relative to it, itself first as an empty one."""
    found, left = [b""], [b""]
    while left:
        folder = left.pop()
        with os.scandir(top + b"/" + folder) as entries:
            below = [_joined(folder, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        found += below
        left += below
    return found


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder and name else folder or name


def record_in(folder: str, name: str) -> int:
    """A descriptor of a new file ``name`` in ``folder``, for :meth:`Watch.write`. Raises OSError."""
    path = f"{folder}/{name}"
    if os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
