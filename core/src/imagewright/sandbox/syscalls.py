"""The system calls that Python has no function for. Linux on 64-bit machines."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 2

IN_OPEN = 0x20
IN_ISDIR = 0x4000_0000

_CAPABILITY_VERSION = 0x2008_0522
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SYS_PIVOT_ROOT = {"x86_64": 155, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 41)
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_IN_ONLYDIR, _IN_DONT_FOLLOW = 0x0100_0000, 0x0200_0000
_MOUNT_ATTR_RDONLY = 0x1

_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave namespaces behind (unshare(2))."""
    _check(_LIBC.unshare(flags), "unshare")


def enter(namespace: int, kind: int) -> None:
    """Enter a namespace by a descriptor of it (setns(2)); ``kind`` is the flag of its kind."""
    _check(_LIBC.setns(namespace, kind), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount (mount(2))."""
    _check(
        _LIBC.mount(source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode()),
        f"mount {kind or source} at {target}",
    )


def detach(target: str) -> None:
    """Take a mount with everything below it out of sight (umount2(2))."""
    _check(_LIBC.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root of the mount namespace (pivot_root(2))."""
    _check(_LIBC.syscall(_SYS_PIVOT_ROOT, new.encode(), old.encode()), "pivot_root")


def make_read_only(target: str) -> None:
    """Make a mount and everything below it read only (mount_setattr(2), Linux 5.12)."""
    _change_mount(target, struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0), "read only")


def make_writable(target: str) -> None:
    """Undo :func:`make_read_only`; below a mount that has one of the host's read-only ones, all stay read only."""
    attributes = struct.pack("QQQQ", 0, _MOUNT_ATTR_RDONLY, 0, 0)
    try:
        _change_mount(target, attributes, "writable")
    except PermissionError:  # the kernel changes all or none, and nothing that the host mounted read only
        _change_mount(target, attributes, "writable", flags=0)


def _change_mount(target: str, attributes: bytes, what: str, flags: int = _AT_RECURSIVE) -> None:
    size = ctypes.c_size_t(len(attributes))
    result = _LIBC.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, attributes, size)
    _check(result, f"make {target} {what}")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel signal this process when its parent dies; a change of ids undoes it."""
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def prctl(operation: int, argument: int, more: int = 0) -> None:
    """Change what the kernel keeps of this process (prctl(2))."""
    numbers = (ctypes.c_ulong(argument), ctypes.c_ulong(more), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _check(_LIBC.prctl(operation, *numbers), f"prctl {operation}")


def set_capabilities(mask: int) -> None:
    """Have these capabilities at most, a bit each, and hand on none (capset(2)); nothing is gained by it."""
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    _check(_LIBC.capget(header, held), "capget")
    words = struct.unpack("6I", held.raw)
    low, high = words[1] & mask & 0xFFFF_FFFF, words[4] & mask >> 32
    _check(_LIBC.capset(header, struct.pack("6I", low, low, 0, high, high, 0)), "capset")


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent dies (prctl(2), child subreaper)."""
    _check(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def make_dumpable() -> None:
    """Let this process read its own ``/proc/self`` after a change of ids."""
    _check(_LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def bring_loopback_up() -> None:
    """Set the loopback interface of this network namespace up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(handle, 0x8913, request))[1]
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


def syncfs(descriptor: int) -> None:
    """Write everything of the filesystem that ``descriptor`` lies on to the disk (syncfs(2))."""
    _check(_LIBC.syncfs(descriptor), "syncfs")


def watching() -> int:
    """A descriptor that tells of what is watched, and never waits (inotify_init1(2))."""
    descriptor = int(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    _check(descriptor, "inotify")
    return descriptor


def watch_openings(descriptor: int, folder: bytes) -> int:
    """Have a descriptor of :func:`watching` tell when something in the folder is opened; the number of the watch."""
    mask = IN_OPEN | _IN_ONLYDIR | _IN_DONT_FOLLOW
    number = int(_LIBC.inotify_add_watch(descriptor, folder, ctypes.c_uint32(mask)))
    if number < 0:
        # that of the disk, ENOSPC, says here that a limit of the kernel's is reached
        reason = "fs.inotify.max_user_watches is too low" if ctypes.get_errno() == 28 else ""
        _check(number, reason or "inotify")
    return number
