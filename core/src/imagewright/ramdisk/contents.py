"""What a ramdisk holds: one list of members, each with where it comes from and who asked for it."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from imagewright.errors import StepFailed
from imagewright.ramdisk.archive import Member
from imagewright.ramdisk.layout import MERGED, merged_path
from imagewright.ramdisk.roots import Found, Root

CORE = "imagewright"
"""Who asks for what no flavour asks for."""

BUSYBOX = "busybox"
"""The origin of links to busybox, which give way to everything else of their name."""

_FOLDERS = {
    "dev": 0o755,
    "etc": 0o755,
    "mnt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr/bin": 0o755,
    "usr/lib": 0o755,
    "usr/lib64": 0o755,
    "usr/sbin": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/group": "root:x:0:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
}
_LINKS = {"etc/mtab": "../proc/self/mounts", "var/run": "../run", **{name: f"usr/{name}" for name in MERGED}}
_DEVICES = {"dev/console": (0o600, (5, 1)), "dev/null": (0o666, (1, 3))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A member with the name of the root or the flavour that it comes from, and who asked for it."""

    member: Member
    origin: str
    asked: tuple[str, ...]


class Contents:
    """Collects members. What is there already stays, and who asks for it too is added to who asked."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._applets: dict[str, str] = {}
        for path, mode in _FOLDERS.items():
            self.put(Member(path=path, kind="folder", mode=mode))
        for path, target in _LINKS.items():
            self.put(Member(path=path, kind="link", mode=0o777, target=target))
        for path, (mode, device) in _DEVICES.items():
            self.put(Member(path=path, kind="device", mode=mode, device=device))

    def put(self, member: Member, *, origin: str = CORE, asked: Iterable[str] = (CORE,), over: bool = False) -> None:
        """Add a member and the folders above it; ``over``: instead of what is there."""
        path = merged_path(member.path)
        if origin != BUSYBOX:
            self._give_way(path)
        there = self._held.get(path)
        if there is not None and not over:
            self._held[path] = replace(there, asked=tuple(dict.fromkeys((*there.asked, *asked))))
            return
        parent = posixpath.dirname(path)
        if parent:
            self._folder(parent)
        self._held[path] = Held(member=replace(member, path=path), origin=origin, asked=tuple(asked))

    def put_applet(self, path: str) -> None:
        """Add a link to busybox; it gives way to an executable of the same name, wherever that lies."""
        path = merged_path(path)
        if path not in self._held:
            member = Member(path=path, kind="link", mode=0o777, target="/usr/bin/busybox")
            self.put(member, origin=BUSYBOX)
            self._applets[posixpath.basename(path)] = path

    def _give_way(self, path: str) -> None:
        name = posixpath.basename(path)
        if posixpath.dirname(path) in ("usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin"):
            applet = self._applets.pop(name, "")
            if applet:
                del self._held[applet]

    def put_found(self, root: Root, found: Found, asked: Iterable[str]) -> None:
        """Add a file or folder of a root, with the links that led to it; of a folder everything in it."""
        for path, target, leads_to in found.links:
            if path in MERGED or path == target:
                continue
            # what moved below /usr is no longer where a relative link expects it
            moved = merged_path(path) != path or merged_path(leads_to) != leads_to
            goal = f"/{merged_path(leads_to)}" if moved and not target.startswith("/") else target
            self.put(Member(path=path, kind="link", mode=0o777, target=goal), origin=root.name, asked=asked)
        if found.is_file:
            member = root.member(found, found.path, stat.S_IMODE(found.mode) & 0o755)
            self.put(member, origin=root.name, asked=asked)
        elif found.is_folder:
            self.put(Member(path=found.path, kind="folder", mode=0o755), origin=root.name, asked=asked)
            for name in root.names(found.path):
                below = root.find(f"{found.path}/{name}")
                if below is not None:
                    self.put_found(root, below, asked)

    def has(self, path: str) -> bool:
        """Whether there is anything at a path."""
        return merged_path(path) in self._held

    def finished(self) -> tuple[Held, ...]:
        """Everything, parents first, sorted by path. Raises StepFailed for a file that lies where a folder must be."""
        for path, content in _FILES.items():
            self.put(Member(path=path, content=content.encode()))
        for path in self._held:
            above = self._held.get(posixpath.dirname(path))
            if above is not None and above.member.kind in ("file", "device"):
                raise StepFailed(
                    "file-over-folder",
                    f"{above.origin} has a {above.member.kind} at `/{above.member.path}`, where a ramdisk has a folder",
                    where=(f"in the folder: {posixpath.basename(path)}",),
                    hint="give it another name, or lay it into the folder",
                )
        return tuple(self._held[path] for path in sorted(self._held))

    def _folder(self, path: str) -> None:
        if path in self._held:
            return
        if (parent := posixpath.dirname(path)) != "":
            self._folder(parent)
        self._held[path] = Held(member=Member(path=path, kind="folder", mode=0o755), origin=CORE, asked=(CORE,))
