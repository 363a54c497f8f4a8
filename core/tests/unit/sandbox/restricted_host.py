"""Runs a program on a copy of this host where ordinary users may make no user namespaces. For root.

    restricted_host.py SCRIPT USER COMMAND ARGUMENT...

In a mount namespace of its own ``/etc`` and ``/usr/local`` are covered by overlays, so that nothing of the host
changes; there root runs the shell script SCRIPT (which may make users and install things), and then USER runs COMMAND,
with one end of a pair of root's sockets open as the descriptor that ROOTS_SOCKET names.

COMMAND is under a seccomp filter whose other end answers as Debian's kernel with kernel.unprivileged_userns_clone=0: a
new user namespace is for who has CAP_SYS_ADMIN. So setuid programs keep their rights, as on such a host. While there is
a file ``pause`` in the current folder, who may make one waits for its answer, and its process id is in ``paused``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import grp
import os
import pwd
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

from imagewright.sandbox import syscalls
from imagewright.sandbox.launcher import views

UNSHARE, CLONE, CLONE3 = (272, 56, 435) if os.uname().machine == "x86_64" else (97, 220, 435)
SECCOMP = 317 if os.uname().machine == "x86_64" else 277
ALLOW, NOTIFY, NO_SUCH_CALL = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
LISTENER = 1 << 3 | 1 << 5  # a new one, and only what kills interrupts who waits for it
CAP_SYS_ADMIN = 1 << 21

LIBC = ctypes.CDLL(None, use_errno=True)


def listener() -> int:
    """Put this process under the filter; the descriptor of who answers."""
    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06  # bpf(2)
    program = [
        (load, 0, 0, 0),  # the number of the call
        (equal, 2, 0, UNSHARE),
        (equal, 1, 0, CLONE),
        (equal, 2, 4, CLONE3),
        (load, 0, 0, 16),  # the lower half of its first argument
        (any_bit, 1, 2, syscalls.CLONE_NEWUSER),
        (give, 0, 0, NO_SUCH_CALL),
        (give, 0, 0, NOTIFY),
        (give, 0, 0, ALLOW),
    ]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    described = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(filters))
    number: int = LIBC.syscall(SECCOMP, 1, LISTENER, described)
    if number < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return number


def answer(number: int) -> None:
    """Answer one call as that kernel does."""
    asked = bytearray(80)
    try:
        fcntl.ioctl(number, RECEIVE, asked)
        ident, pid = struct.unpack_from("QI", asked)
        with open(f"/proc/{pid}/status") as status:
            capabilities = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
        here = os.stat("/proc/self/ns/user").st_ino == os.stat(f"/proc/{pid}/ns/user").st_ino
        allowed = capabilities & CAP_SYS_ADMIN or not here
        if allowed:
            pause(pid)
        reply = struct.pack("QqiI", ident, 0, 0 if allowed else -errno.EPERM, CONTINUE if allowed else 0)
        fcntl.ioctl(number, SEND, bytearray(reply))
    except FileNotFoundError:  # whoever asked is gone
        return


def pause(pid: int) -> None:
    """Let the attacker, who can see the file, do what they want with the process that waits."""
    if os.path.exists("pause"):
        with open("paused.new", "w") as stream:
            stream.write(str(pid))
        os.rename("paused.new", "paused")
        end = time.monotonic() + 60
        while os.path.exists("pause") and time.monotonic() < end:
            time.sleep(0.005)


def cover() -> None:
    """Put overlays over the folders that are changed, and let everybody reach the code that runs the tests."""
    scratch = tempfile.mkdtemp(prefix="restricted-")
    syscalls.mount("tmpfs", scratch, "tmpfs", 0, "mode=755")
    for name in ("etc", "usr/local"):
        upper, work = f"{scratch}/{name}/upper", f"{scratch}/{name}/work"
        os.makedirs(upper)
        os.makedirs(work)
        os.chmod(upper, 0o755)
        syscalls.mount("overlay", f"/{name}", "overlay", 0, f"lowerdir=/{name},upperdir={upper},workdir={work}")
    for name in ("/run/sudo", "/var/lib/sudo"):
        if os.path.isdir(name):
            syscalls.mount("tmpfs", name, "tmpfs", 0, "mode=711")
    top = os.path.abspath(__file__).split("/core/tests/")[0]
    code = views.closed_to_strangers([sys.prefix, sys.base_prefix, top, *sys.path])
    opened = [(folder, os.open(folder, os.O_PATH)) for folder in code]
    for folder, descriptor in opened:
        views._uncover(folder, descriptor)


def main() -> int:
    script, user, *command = sys.argv[1:]
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    cover()
    subprocess.run(["sh", "-eu", "-c", script], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    ours, theirs = socket.socketpair()
    account = pwd.getpwnam(user)
    groups = [account.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)]
    child = os.fork()
    if child == 0:
        ours.close()
        number = listener()
        socket.send_fds(theirs, [b"1"], [number])
        os.close(number)
        theirs.close()
        roots, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(roots.fileno(), True)
        os.environ["ROOTS_SOCKET"] = str(roots.fileno())
        os.setgroups(groups)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        os.execvp(command[0], command)
    theirs.close()
    number = socket.recv_fds(ours, 1, 1)[1][0]
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(number, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, event in poll.poll() if event & select.POLLIN}
        if number in ready:
            answer(number)
        elif ended in ready:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
