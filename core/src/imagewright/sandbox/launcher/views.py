"""What a job sees: its mounts, made in its own mount namespace. Runs in the launcher's children."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import Any

from imagewright.sandbox import privacy, syscalls
from imagewright.sandbox.jobs import CLOSED, KEPT, TARGET, WORK
from imagewright.sandbox.resolver import resolver_text

HERE = "/run/imagewright"
_PARKED = f"{HERE}/binds"
_RESOLVER = f"{HERE}/resolv.conf"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_HIDDEN = syscalls.MS_NOSUID | syscalls.MS_NODEV


class Reached:
    """What a job needs of the host, opened while the caller's ids were in force: descriptors of files and folders."""

    def __init__(self, job: dict[str, Any]) -> None:
        """Open them; the mount namespace must be the job's own by now, or the kernel refuses to bind them."""
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
        self.work = _open(job["work"])
        self.kept = None if job["kept"] is None else _open(job["kept"])
        self.binds = [_open(bind["source"]) for bind in job["binds"]]
        private = is_private(job)
        self.hidden = [*job["homes"], *privacy.SCRATCH] if private else []
        self.shown = [(path, _open(path)) for path in job["shown"]] if private else []
        code = [] if job["inside"] or private else job["code"]
        self.code = [(folder, _open(folder)) for folder in code]
        self.resolver = os.path.realpath("/etc/resolv.conf")
        self.names = resolver_text(separated=job["separated"])


def is_private(job: dict[str, Any]) -> bool:
    """Whether the job is a program outside the tree: a flavour's, which is to see nothing of the caller's."""
    return not job["inside"] and "function" not in job


def park(reached: Reached) -> None:
    """Bind what was opened below ``/run/imagewright`` on a private tmpfs, as mapped root.

    So it is in reach whatever the modes of the folders are that it lies in on the host.
    """
    for folder, descriptor in reached.code:
        _uncover(folder, descriptor)
    # an ordinary caller is mapped root: without this a step outside the tree could write whatever the caller can
    scratch = [] if reached.hidden else [(name, _open(name)) for name in privacy.SCRATCH if _may_be_written(name)]
    syscalls.make_read_only("/")
    privacy.cover(reached.hidden, reached.shown)
    for name, descriptor in scratch:
        _bind_opened(descriptor, name)
        syscalls.make_writable(name)
    syscalls.mount("tmpfs", "/run", "tmpfs", _HIDDEN, "mode=755")
    os.mkdir("/run/lock", 0o755)
    os.chmod("/run/lock", 0o1777)  # noqa: S103 - as everywhere
    show_resolver(reached.resolver, reached.names)
    for folder in (HERE, WORK, TARGET, _PARKED):
        os.mkdir(folder, 0o755)
    _write(_RESOLVER, reached.names)
    _bind_opened(reached.work, WORK)
    syscalls.make_writable(WORK)
    if reached.hidden:
        privacy.cover([f"{WORK}/{CLOSED}"], [])
    if reached.kept is not None:
        os.mkdir(KEPT, 0o755)
        _bind_opened(reached.kept, KEPT)
    for number, source in enumerate(reached.binds):
        parked = f"{_PARKED}/{number}"
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.mkdir(parked, 0o755)
        else:
            _write(parked, b"")
        _bind_opened(source, parked)
        syscalls.make_writable(parked)


def _may_be_written(folder: str) -> bool:
    """Whether it is there, and on a mount that the host has not made read only."""
    return os.path.isdir(folder) and not os.statvfs(folder).f_flag & os.ST_RDONLY


def closed_to_strangers(folders: list[str]) -> list[str]:
    """Those of the folders that lie below one which only its owner may enter."""
    found: list[str] = []
    for folder in sorted({os.path.realpath(folder) for folder in folders if os.path.isdir(folder)}):
        if _first_closed(folder) and not any(folder.startswith(f"{other}/") for other in found):
            found.append(folder)
    return found


def _first_closed(folder: str) -> str | None:
    end = folder.find("/", 1)
    while end > 0:
        try:
            mode = os.stat(folder[:end]).st_mode
        except FileNotFoundError:  # another folder of code has covered it already
            return None
        if not mode & stat.S_IXOTH:
            return folder[:end]
        end = folder.find("/", end + 1)
    return None


def _uncover(folder: str, descriptor: int) -> None:
    """Make a folder of the caller's code reachable under its own name."""
    closed = _first_closed(folder)
    if closed is not None:
        syscalls.mount("tmpfs", closed, "tmpfs", _HIDDEN, "mode=755")
    os.makedirs(folder, exist_ok=True)
    _bind_opened(descriptor, folder)


def dress_outside(binds: list[dict[str, Any]], *, private: bool) -> None:
    """Finish the view of a job that stays outside the tree; ``private``: without the host's devices."""
    if private:
        make_devices()
    for number, bind in enumerate(binds):
        source, target = f"{_PARKED}/{number}", posixpath.normpath(bind["target"])
        if target.startswith("/run/"):
            _make_point(target, folder=os.path.isdir(source))
        elif not os.path.exists(target):
            # what is made elsewhere would stay on the host
            raise OSError(errno.ENOENT, f"nothing to mount over at {target}")
        _bind(source, target, read_only=bind["read_only"])
    syscalls.mount("proc", "/proc", "proc", _HIDDEN | syscalls.MS_NOEXEC)


def dress_inside(binds: list[dict[str, Any]], *, network: bool) -> None:
    """Make the tree at TARGET the root of the job's view.

    The root changes first, so that no link in the tree leads a mount out of it.
    """
    devices = open_devices()
    system, resolver, old = _open("/sys"), _open(_RESOLVER), _open("/")
    sources = [_open(f"{_PARKED}/{number}") for number in range(len(binds))]
    os.chdir(TARGET)
    syscalls.pivot_root(".", ".")
    os.chdir("/")
    for name in ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"):  # noqa: S108 - the tree's
        os.makedirs(name, 0o755, exist_ok=True)
    syscalls.mount("proc", "/proc", "proc", _HIDDEN | syscalls.MS_NOEXEC)
    # a fresh sysfs needs a network namespace of one's own
    _bind_opened(system, "/sys")
    syscalls.make_read_only("/sys")
    make_devices(devices)
    syscalls.mount("tmpfs", "/run", "tmpfs", _HIDDEN, "mode=755")
    for name in ("/tmp", "/var/tmp"):  # noqa: S108 - the job's own
        syscalls.mount("tmpfs", name, "tmpfs", _HIDDEN, "mode=1777")
    os.mkdir("/run/lock", 0o755)
    os.chmod("/run/lock", 0o1777)  # noqa: S103 - as everywhere
    if network:
        _show_resolver(resolver)
    os.close(resolver)
    for source, bind in zip(sources, binds, strict=True):
        target = posixpath.normpath(bind["target"])
        _make_point(target, folder=stat.S_ISDIR(os.fstat(source).st_mode))
        _bind_opened(source, target)
        if bind["read_only"]:
            syscalls.make_read_only(target)
    # the old root lies over the new one, out of every path's way
    os.fchdir(old)
    os.close(old)
    syscalls.detach(".")
    os.chdir("/")


def open_devices() -> list[tuple[str, int]]:
    """The devices that every program may have, by name."""
    return [(name, _open(f"/dev/{name}")) for name in _DEVICES]


def make_devices(devices: list[tuple[str, int]] | None = None, *, group: str = ",gid=5") -> None:
    """Make a ``/dev`` that has these, or those of :func:`open_devices`, and terminals and shared memory of its own."""
    devices = open_devices() if devices is None else devices
    syscalls.mount("tmpfs", "/dev", "tmpfs", syscalls.MS_NOSUID, "mode=755")
    for name, descriptor in devices:
        _write(f"/dev/{name}", b"")
        _bind_opened(descriptor, f"/dev/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"/dev/{name}", 0o755)
    terminals = "newinstance,ptmxmode=0666,mode=0620" + group
    syscalls.mount("devpts", "/dev/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, terminals)
    syscalls.mount("tmpfs", "/dev/shm", "tmpfs", _HIDDEN, "mode=1777")  # noqa: S108 - the job's own
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        os.symlink(target, f"/dev/{name}")


def show_resolver(path: str, names: bytes) -> None:
    """Let a job outside the tree resolve names; ``path`` is where ``/etc/resolv.conf`` leads."""
    if path.startswith("/run/"):
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        _write(path, names)
    elif names and _read(path) != names:
        own = "/run/resolv.conf"
        _write(own, names)
        syscalls.mount(own, path, flags=syscalls.MS_BIND)


def _show_resolver(resolver: int) -> None:
    """Let the job resolve names as the host does; the tree's own /etc/resolv.conf is never written."""
    names = _read(f"/proc/self/fd/{resolver}") or b""
    path = os.path.realpath("/etc/resolv.conf")
    if path.startswith("/run/"):
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        _write(path, names)
    elif os.path.isfile(path) and _read(path) != names:
        syscalls.mount(f"/proc/self/fd/{resolver}", path, flags=syscalls.MS_BIND)


def _make_point(target: str, *, folder: bool) -> None:
    if folder:
        os.makedirs(target, 0o755, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(posixpath.dirname(target), 0o755, exist_ok=True)
        _write(target, b"")


def _bind(source: str, target: str, *, read_only: bool) -> None:
    syscalls.mount(source, target, flags=syscalls.MS_BIND | syscalls.MS_REC)
    if read_only:
        syscalls.make_read_only(target)


def _bind_opened(descriptor: int, target: str) -> None:
    syscalls.mount(f"/proc/self/fd/{descriptor}", target, flags=syscalls.MS_BIND | syscalls.MS_REC)
    os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
