"""What a job sees: its mounts, made in its own mount namespace. Runs in the launcher's children."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import Any

from imagewright.sandbox import syscalls
from imagewright.sandbox.jobs import TARGET, WORK

HERE = "/run/imagewright"
_PARKED = f"{HERE}/binds"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_OLD_ROOT = "/run/.old-root"
_LARGEST_DATA = 4095  # bytes of mount options: one page


def reach_as_caller(work: str, binds: list[dict[str, Any]]) -> tuple[int, list[int], str, bytes]:
    """Open what the job needs while the caller's own files are in reach: after this come mapped root's ids.

    The mount namespace must be the job's own by now, or the kernel refuses to bind what was opened. Returns
    descriptors of the work folder and of each bind's source, the file that resolves names, and its content.
    """
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    resolver = os.path.realpath("/etc/resolv.conf")
    sources = [os.open(bind["source"], os.O_PATH | os.O_CLOEXEC) for bind in binds]
    return os.open(work, os.O_PATH | os.O_CLOEXEC), sources, resolver, _read(resolver) or b""


def park(work: int, sources: list[int], resolver: str, names: bytes) -> None:
    """Bind what was opened below ``/run/imagewright`` on a private tmpfs, as mapped root.

    So it is in reach whatever the modes of the folders are that it lies in on the host.
    """
    syscalls.mount("tmpfs", "/run", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755")
    if resolver.startswith("/run/"):
        os.makedirs(posixpath.dirname(resolver), exist_ok=True)
        _write(resolver, names)
    for folder in (HERE, WORK, TARGET, _PARKED, f"{HERE}/shelf"):
        os.mkdir(folder, 0o755)
    _write(f"{HERE}/shelf/resolv.conf", names)
    syscalls.mount(f"/proc/self/fd/{work}", WORK, flags=syscalls.MS_BIND | syscalls.MS_REC)
    os.close(work)
    for number, source in enumerate(sources):
        parked = f"{_PARKED}/{number}"
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.mkdir(parked, 0o755)
        else:
            _write(parked, b"")
        syscalls.mount(f"/proc/self/fd/{source}", parked, flags=syscalls.MS_BIND | syscalls.MS_REC)
        os.close(source)


def mount_stack(stack: dict[str, Any] | None, *, inside: bool) -> None:
    """Mount the layers at TARGET, as mapped root: the mounter's ids are those that the overlay acts with."""
    if stack is None:
        return
    os.chdir(f"{WORK}/layers")
    lower, upper = list(stack["lower"]), stack["upper"]
    if upper is None and inside:
        number = 0
        while os.path.exists(upper := f".discard-{os.getpid()}-{number}"):
            number += 1
    if upper is None:
        if len(lower) == 1:
            syscalls.mount(lower[0], TARGET, flags=syscalls.MS_BIND)
            syscalls.make_read_only(TARGET)
            return
        syscalls.mount("overlay", TARGET, "overlay", syscalls.MS_RDONLY, _options(lower))
    else:
        passing = f".work-{os.getpid()}-{upper.lstrip('.')}"
        os.makedirs(upper, 0o755, exist_ok=True)
        os.makedirs(passing, 0o755, exist_ok=True)
        if not lower:
            syscalls.mount(upper, TARGET, flags=syscalls.MS_BIND)
        else:
            syscalls.mount("overlay", TARGET, "overlay", 0, f"{_options(lower)},upperdir={upper},workdir={passing}")
    os.chdir("/")


def _options(lower: list[str]) -> str:
    options = f"userxattr,lowerdir={':'.join(lower)}"
    if len(options) > _LARGEST_DATA - 200:
        raise OSError(7, f"{len(lower)} layers are more than one overlay mount takes")
    return options


def dress_outside(binds: list[dict[str, Any]]) -> None:
    """Finish the view of a job that stays outside the tree."""
    for number, bind in enumerate(binds):
        _bind(f"{_PARKED}/{number}", bind["target"], read_only=bind["read_only"])
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def dress_inside(binds: list[dict[str, Any]], *, network: bool) -> None:
    """Make the tree at TARGET the root of the job's view."""
    root = TARGET
    for name in ("proc", "sys", "dev", "run", "tmp", "var/tmp"):
        if not os.path.isdir(f"{root}/{name}"):
            os.makedirs(f"{root}/{name}", 0o755, exist_ok=True)
    hidden = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("proc", f"{root}/proc", "proc", hidden | syscalls.MS_NOEXEC)
    # a fresh sysfs needs a network namespace of one's own
    syscalls.mount("/sys", f"{root}/sys", flags=syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.make_read_only(f"{root}/sys")
    syscalls.mount("tmpfs", f"{root}/dev", "tmpfs", syscalls.MS_NOSUID, "mode=755")
    for name in _DEVICES:
        _write(f"{root}/dev/{name}", b"")
        syscalls.mount(f"/dev/{name}", f"{root}/dev/{name}", flags=syscalls.MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{root}/dev/{name}", 0o755)
    syscalls.mount("devpts", f"{root}/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    syscalls.mount("tmpfs", f"{root}/dev/shm", "tmpfs", hidden, "mode=1777")  # noqa: S108 - the job's own
    for name, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ):
        os.symlink(target, f"{root}/dev/{name}")
    syscalls.mount("tmpfs", f"{root}/run", "tmpfs", hidden, "mode=755")
    for name in ("tmp", "var/tmp"):
        syscalls.mount("tmpfs", f"{root}/{name}", "tmpfs", hidden, "mode=1777")
    os.mkdir(f"{root}/run/lock", 0o755)
    os.chmod(f"{root}/run/lock", 0o1777)  # noqa: S103 - as everywhere
    if network:
        _show_resolver(root)
    for number, bind in enumerate(binds):
        _bind(f"{_PARKED}/{number}", root + bind["target"], read_only=bind["read_only"])
    os.mkdir(root + _OLD_ROOT, 0o700)
    os.chdir(root)
    syscalls.pivot_root(".", root.replace(TARGET, ".") + _OLD_ROOT)
    os.chdir("/")
    syscalls.unmount(_OLD_ROOT)
    os.rmdir(_OLD_ROOT)


def _show_resolver(root: str) -> None:
    """Let the job resolve names as the host does; the tree's own /etc/resolv.conf is never written."""
    shelf = f"{HERE}/shelf/resolv.conf"
    path = f"{root}/etc/resolv.conf"
    if os.path.islink(path):
        target = os.readlink(path)
        inside = posixpath.normpath(posixpath.join("/etc", target))
        # only where nothing of the tree is touched: the private /run
        if inside.startswith("/run/"):
            os.makedirs(root + posixpath.dirname(inside), exist_ok=True)
            _write(root + inside, _read(shelf) or b"")
    elif os.path.isfile(path) and _read(path) != _read(shelf):
        syscalls.mount(shelf, path, flags=syscalls.MS_BIND)


def _bind(source: str, target: str, *, read_only: bool) -> None:
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(posixpath.dirname(target), 0o755, exist_ok=True)
        _write(target, b"")
    syscalls.mount(source, target, flags=syscalls.MS_BIND | syscalls.MS_REC)
    if read_only:
        syscalls.make_read_only(target)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
