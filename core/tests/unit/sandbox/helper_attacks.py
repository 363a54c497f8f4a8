"""What a user with the rule of sudoers.d and nothing else tries, as that user; one JSON document says how each went.

    helper_attacks.py FOLDER

FOLDER is the user's own. An attack "wins" if code of the user's runs as root, which would leave ``won`` there, or if
the user gets a namespace with ids that are not theirs.
"""

from __future__ import annotations

import array
import ctypes
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from helper_asking import CLONE_NEWUSER, HELPER, LIBC, ask, inside

RULE = "/etc/sudoers.d/imagewright"
FOLDER = Path(sys.argv[1])
UID, GID = os.getuid(), os.getgid()

EVIL = f"""
import os
if os.getuid() == 0:
    open({str(FOLDER / "won")!r}, "a").write("module\\n")
"""


def rooted() -> dict[str, object]:
    """What root of the namespace can do to the host."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.run(["sudo", "-n", HELPER], stdin=theirs, check=True)
    _message, rights, _flags, _address = ours.recvmsg(65536, socket.CMSG_SPACE(16))
    (namespace,) = array.array("i", rights[0][2])

    def become(uid: int) -> Callable[[], object]:
        def look() -> object:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            os.setuid(uid)
            return os.stat("/proc/self").st_uid

        return look

    def as_root(do: Callable[[], object]) -> Callable[[], object]:
        def look() -> object:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            do()
            return "done"

        return look

    return {
        "becomes an id that is not in the map": inside(namespace, become(65_536)),
        "reads /etc/shadow": inside(namespace, as_root(lambda: Path("/etc/shadow").read_text())),
        "writes the rule": inside(namespace, as_root(lambda: Path(RULE).write_text("x"))),
        "writes the helper": inside(namespace, as_root(lambda: Path(HELPER).write_text("x"))),
        "signals process 1": inside(namespace, as_root(lambda: os.kill(1, 0))),
        "changes a file's owner to root": inside(namespace, as_root(lambda: os.chown(FOLDER / "own", 65_536, 0))),
        "mounts in the host's namespace": inside(namespace, as_root(mount)),
        "raises a limit of the host's": inside(
            namespace, as_root(lambda: Path("/proc/sys/kernel/core_pattern").write_text("|/tmp/x"))
        ),
        "makes a device": inside(namespace, as_root(lambda: os.mknod(FOLDER / "disk", 0o60666, os.makedev(8, 0)))),
    }


def mount() -> None:
    if LIBC.mount(b"none", b"/mnt", b"tmpfs", 0, b""):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def left() -> list[str]:
    """Processes of the helper's, or of its child's, that are still there."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if HELPER.encode() in command:
            found.append(name)
    return found


def staying() -> list[str]:
    """Those that do not end: another run of these attacks, beside this one, has its own that do."""
    there = set(left())
    end = time.monotonic() + 120
    while there and time.monotonic() < end:
        time.sleep(0.1)
        there &= set(left())
    return sorted(there)


def ambushed(act: Callable[[int], object], *, after: bool) -> dict[str, Any]:
    """Do something to the helper's child, which has our uid: before its namespace is made, or stopped right after."""
    tried: list[object] = []

    def ambush(_sudo: int) -> None:
        while not Path("paused").exists():
            time.sleep(0.005)
        pid = int(Path("paused").read_text())
        if after:
            # it waits for the kernel's answer, and stops when that has come
            os.kill(pid, signal.SIGSTOP)
        else:
            tried.append(act(pid))
        Path("pause").unlink()
        if after:
            while state(pid) not in "TZ":
                time.sleep(0.005)
            tried.append(act(pid))
            os.kill(pid, signal.SIGCONT)

    Path("paused").unlink(missing_ok=True)
    Path("pause").write_text("")
    answer = ask(meanwhile=ambush)
    return {"tried": tried, "answer": answer}


def ask_and_stop() -> dict[str, Any]:
    """Ask, stop the helper's child for good, and see how long root's process waits for it."""
    pids: list[int] = []

    def stop(_sudo: int) -> None:
        while not Path("paused").exists():
            time.sleep(0.005)
        pids.append(int(Path("paused").read_text()))
        os.kill(pids[0], signal.SIGSTOP)
        Path("pause").unlink()

    Path("pause").write_text("")
    answer = ask(meanwhile=stop)
    while state(pids[0]) not in "ZX":
        time.sleep(0.01)
    return answer


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def trace(pid: int) -> object:
    """Try to become its tracer, to read its memory, to take its descriptors, and to enter its namespace."""

    def works(do: Callable[[], object]) -> bool:
        try:
            do()
        except OSError:
            return False
        return True

    return {
        "uid": Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0],
        "traced": LIBC.ptrace(0x4206, pid, None, None) == 0,  # PTRACE_SEIZE
        "memory": works(lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))),
        "descriptors": works(lambda: os.listdir(f"/proc/{pid}/fd")),
        "map": works(lambda: Path(f"/proc/{pid}/uid_map").write_text("0 0 1")),
    }


def kill(pid: int) -> object:
    os.kill(pid, signal.SIGKILL)
    return "killed"


def masked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def limited(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, most))


def signalled(sudo: int) -> None:
    """Signals to sudo and what it runs, as soon as they are root's."""
    for _turn in range(20):
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                status = Path("/proc", name, "status").read_text()
                if (name == str(sudo) or f"PPid:\t{sudo}\n" in status) and "\nUid:\t0\t0\t0\t0\n" in status:
                    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGSTOP, signal.SIGKILL):
                        os.kill(int(name), number)
                        (FOLDER / "won").write_text("a signal reached root\n")
            except OSError:
                continue


def refused_to_open(path: str) -> str:
    try:
        with open(path, "r+b"):
            return "opened"
    except OSError as error:
        return str(error.strerror)


def all_attacks() -> Iterator[tuple[str, Any]]:
    modules = FOLDER / "modules"
    modules.mkdir()
    for name in ("json", "socket", "struct", "ctypes", "os", "pwd", "fcntl", "encodings", "sitecustomize"):
        (modules / f"{name}.py").write_text(EVIL)
    (FOLDER / "start.py").write_text(EVIL)
    (FOLDER / "python3").write_text(f"#!/bin/sh\nid -u >>{FOLDER}/won\n")
    (FOLDER / "python3").chmod(0o755)
    (FOLDER / "own").write_text("")
    copy = FOLDER / "imagewright-namespace"
    copy.write_text(f"#!/bin/sh\nid -u >>{FOLDER}/won\n")
    copy.chmod(0o755)

    stopped: list[dict[str, Any]] = []
    stopper = threading.Thread(target=lambda: stopped.append(ask_and_stop()))
    stopper.start()
    while Path("pause").exists() or not Path("paused").exists():
        time.sleep(0.005)
    yield "asks as it is meant", ask()
    yield "an argument", ask(("sudo", "-n", HELPER, "0"))
    yield "an empty argument", ask(("sudo", "-n", HELPER, ""))
    yield "an option of Python's", ask(("sudo", "-n", HELPER, "-c", "import os"))
    yield "another program", ask(("sudo", "-n", "/bin/sh", "-c", "id"))
    yield "Python itself with the helper", ask(("sudo", "-n", "/usr/bin/python3", HELPER))
    yield "a file of one's own with its name", ask(("sudo", "-n", str(copy)))
    yield "a path with dots in it", ask(("sudo", "-n", f"/usr/local/libexec/../../..{copy}"))
    link = FOLDER / "linked" / "imagewright-namespace"
    link.parent.mkdir()
    link.symlink_to(copy)
    yield "a symbolic link to a file of one's own", ask(("sudo", "-n", str(link)))
    yield "as another user", ask(("sudo", "-n", "-u", "daemon", HELPER))
    yield "as another group", ask(("sudo", "-n", "-g", "shadow", HELPER))
    yield "the name sudoedit", ask(("sudoedit", "-n", HELPER), executable="/usr/bin/sudo")
    yield "an empty name", ask(("", "-n", HELPER), executable="/usr/bin/sudo")
    variables = {
        "PATH": f"{FOLDER}:/usr/bin:/bin",
        "PYTHONPATH": str(modules),
        "PYTHONHOME": str(modules),
        "PYTHONSTARTUP": str(FOLDER / "start.py"),
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONUSERBASE": str(modules),
        "PYTHONEXECUTABLE": str(FOLDER / "python3"),
        "LD_PRELOAD": str(FOLDER / "own"),
        "LD_LIBRARY_PATH": str(modules),
        "GCONV_PATH": str(modules),
        "SUDO_UID": "0",
        "SUDO_GID": "0",
        "SUDO_USER": "root",
        "HOME": str(FOLDER),
        "TMPDIR": str(FOLDER),
        "IFS": "/",
        "BASH_ENV": str(FOLDER / "python3"),
        "LC_ALL": "../../../../tmp",
    }
    yield "every variable", ask(env=variables)
    yield "a variable on sudo's command line", ask(("sudo", "-n", "SUDO_UID=1", HELPER))
    yield "Python's path on sudo's command line", ask(("sudo", "-n", f"PYTHONPATH={modules}", HELPER))
    yield "the environment kept", ask(("sudo", "-n", "-E", HELPER))
    yield "one variable kept", ask(("sudo", "-n", "--preserve-env=PYTHONPATH", HELPER), env={**os.environ, **variables})
    yield "another root", ask(("sudo", "-n", "-R", str(FOLDER), HELPER))
    yield "another folder by sudo", ask(("sudo", "-n", "-D", str(modules), HELPER))
    yield "more descriptors by sudo", ask(("sudo", "-n", "-C", "100", HELPER))
    yield "in a folder of modules", ask(cwd=modules)
    gone = FOLDER / "gone"
    gone.mkdir()
    yield "in a folder that is gone", ask(before=lambda: (os.chdir(gone), os.rmdir(gone), None)[2])
    yield "an open mask", ask(before=lambda: (os.umask(0), None)[1])
    yield "no standard input", ask(before=lambda: os.close(0))
    yield "no standard output", ask(before=lambda: (os.close(1), os.close(2), None)[2])
    with open("/etc/passwd", "rb") as file:
        yield "a file as standard input", ask(stdin=file)
        yield "more descriptors", ask(descriptors=(file.fileno(),))
    outer, inner = pty.openpty()
    yield "a terminal as standard input", ask(stdin=inner)
    os.close(outer)
    os.close(inner)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        yield f"a socket of kind {kind.name}", ask(stdin=one)
        one.close()
        other.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        yield "a socket of the network", ask(stdin=far)
    yield "a socket of root's", ask(stdin=int(os.environ["ROOTS_SOCKET"]))
    yield "signals blocked and ignored", ask(before=masked)
    yield "an alarm that is set", ask(before=lambda: (signal.setitimer(signal.ITIMER_REAL, 0.03), None)[1])
    yield "signals meanwhile", ask(meanwhile=signalled)
    for name, kind, most in (
        ("few descriptors", resource.RLIMIT_NOFILE, 5),
        ("little memory", resource.RLIMIT_AS, 48 << 20),
        ("no room in files", resource.RLIMIT_FSIZE, 0),
        ("no processes", resource.RLIMIT_NPROC, 0),
        ("a small stack", resource.RLIMIT_STACK, 64 << 10),
        ("large cores", resource.RLIMIT_CORE, resource.RLIM_INFINITY),
    ):
        yield name, ask(before=limited(kind, most))
    yield "its child traced before", ambushed(trace, after=False)
    yield "its child traced after", ambushed(trace, after=True)
    yield "its child killed", ambushed(kill, after=False)
    yield "root of the namespace", rooted()
    stopper.join()
    yield "its child stopped", stopped[0]
    yield "files", {path: refused_to_open(path) for path in (HELPER, RULE, "/etc/subuid", "/etc/subgid")}


def main() -> None:
    """Try everything."""
    os.chdir(FOLDER)
    found = dict(all_attacks())
    won = FOLDER / "won"
    print(
        json.dumps(
            {
                "attacks": found,
                "left": staying(),
                "won": won.read_text() if won.exists() else "",
                "ids": [UID, GID],
                "unshare": LIBC.unshare(CLONE_NEWUSER),
            }
        )
    )


if __name__ == "__main__":
    main()
