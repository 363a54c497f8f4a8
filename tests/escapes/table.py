"""Forty ways out: what a hostile flavour tries in each place, as shell that ends well only if it got out.

``{NAME}`` in a script stands for what the world outside holds (:mod:`world`). ``proof``: the same script works where
nothing is in its way, so that its failure in a build is the wall's doing.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

Where = Literal["install", "cleanup", "extra-data", "block-device-size"]
"""The phases of the four places: inside the tree, outside of it, and on the host twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escape:
    """One try. ``network``: it goes over the network, which only an own one, or none, keeps it from."""

    name: str
    where: Where
    script: str
    proof: bool = False
    network: bool = False


def _python(source: str) -> str:
    return f"python3 - <<'END'\n{textwrap.dedent(source).strip()}\nEND"


def _call(number: int, *arguments: str) -> str:
    """A system call that the wall must answer; anything but a refusal means that the kernel looked at it."""
    return _python(
        f"""
        import ctypes, errno, os, platform, sys
        if platform.machine() != "x86_64":
            sys.exit(1)
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc.syscall({", ".join([str(number), *arguments])})
        sys.exit(0 if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS) else 1)
        """
    )


_ABSTRACT = _python(
    """
    import socket
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(5)
        one.connect("\\0{abstract}")
    """
)
_AGENT = _python(
    """
    import socket
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(5)
        one.connect("{agent}")
    """
)
_LOOPBACK = _python(
    """
    import socket
    socket.create_connection(("127.0.0.1", {port}), 5).close()
    """
)
_TRACE = _python(
    """
    import ctypes, sys
    sys.exit(0 if ctypes.CDLL(None).ptrace(16, {number}, 0, 0) == 0 else 1)
    """
)
_SEES = "cat /proc/[0-9]*/cmdline | grep -q '[{first}]{rest}'"
"""Its pattern does not match the command that has it."""

_PASSWORD = "'[p]assword-of-{abstract}'"
"""That of the private repository; the script that has the pattern has not the password."""

_EVERYWHERE = {
    "the-callers-file-in-the-home": ("cat {home}/canary", True),
    "the-callers-file-of-logins": (f"grep -q {_PASSWORD} {{home}}/logins", True),
    "a-file-that-others-left-in-tmp": ("cat {tmp}/canary", True),
    "a-file-in-shared-memory": ("cat {shm}", True),
    "a-signal-to-the-callers-process": ("kill -0 {pid}", True),
    "the-command-lines-of-the-callers-processes": (_SEES, True),
    "the-environment-of-process-1": ("cat /proc/1/environ", False),
    "files-by-the-root-of-process-1": ("cat /proc/1/root{home}/canary || cat /proc/1/cwd{home}/canary", False),
    "memory-of-process-1": ("dd if=/proc/1/mem bs=1 count=1 skip=4194304", False),
    "core-pattern": ("echo '|{tmp}/run' >/proc/sys/kernel/core_pattern", False),
    "sysrq": ("echo h >/proc/sysrq-trigger", False),
    "a-new-user-namespace": ("unshare -U true || unshare -r true", False),
    "the-namespaces-of-process-1": ("nsenter -t 1 -m -n true", False),
    "devices-of-the-host": ("cat /dev/kmsg /dev/mem || head -c 1 /dev/sda || head -c 1 /dev/vda", False),
    "the-clock": ('! date -s "@$(date +%s)" 2>&1 | grep -q -i permitted', False),
    "the-logs-of-the-kernel": ("dmesg | grep -q .", False),
}
"""Tried in all four places: (script, proof)."""

_INSIDE = {
    # for root of the target alone they are there; a su that does not work would count as a way out
    "the-logins-of-repositories-read-by-others": ("! su toy -c true || su toy -c 'cat /run/imagewright/private/login'"),
    "the-logins-of-repositories-opened-to-others": "chmod 755 /run/imagewright/private",
    "its-own-hooks-are-read-only": "echo x >/tmp/in_target.d/x",
    "hooks-remounted": "mount -o remount,rw /tmp/in_target.d; echo x >/tmp/in_target.d/x",
    "the-systems-files-remounted": "mount -o remount,rw /sys; echo x >/sys/kernel/uevent_helper",
    "a-block-device-made": "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk",
    "release-agent": "mkdir -p /tmp/g && mount -t cgroup -o memory none /tmp/g && echo /x >/tmp/g/release_agent",
    "swap": "dd if=/dev/zero of=/root/swap bs=1M count=1 && mkswap /root/swap && swapon /root/swap",
    "a-kernel-module": "echo x >/tmp/x.ko && insmod /tmp/x.ko 2>&1 | grep -v -i -e permitted -e found | grep -q .",
    "a-way-up-out-of-the-root": "cd / && ls ../../../../..{home}/canary",
}

_OUTSIDE = {
    "the-callers-home-is-written": "echo x >{home}/written; cat {home}/canary",
    "the-system-is-written": "echo x >/etc/imagewright-was-here",
    "the-hosts-tmp-is-written": "echo x >{tmp}/written",
    "the-cover-of-homes-taken-away": "umount {top}; umount -l {top}; cat {home}/canary",
    "the-agent-by-its-socket": _AGENT,
    "the-logins-of-private-repositories": (
        f"umount -l /run/imagewright/work/private; grep -rqs {_PASSWORD} /run/imagewright {{work}}"
    ),
    "processes-traced": _TRACE.replace("{number}", "1"),
}

_ON_HOST = {
    "the-callers-home-is-written": "echo x >{home}/written; cat {home}/canary",
    "the-system-is-written": "echo x >/etc/imagewright-was-here",
    "the-hosts-tmp-is-written": "echo x >{tmp}/written",
    "the-cover-of-homes-taken-away": "umount {top}; umount -l {top}; cat {home}/canary",
    "the-agent-by-its-socket": _AGENT,
    "agents-by-the-environment": "env | grep -e ^SSH_A -e ^DBUS -e ^GPG -e ^CANARY_VARIABLE",
    "the-flavours-own-folder-is-written": "echo x >{flavour}/written",
    "the-cache-is-written": "echo x >{cache}/written",
    "the-logins-of-private-repositories": f"grep -rqs {_PASSWORD} /run/imagewright {{work}}",
    "setuid-programs": "! grep -q 'NoNewPrivs:.1' /proc/self/status",
    "processes-traced": _TRACE.replace("{number}", "1"),
    "a-tracer-of-the-callers-process": _TRACE.replace("{number}", "{pid}"),
}

_CALLS = {
    "kexec_load": _call(246, "0", "0", "0", "0"),
    "finit_module": _call(313, "0", "0", "0"),
    "bpf": _call(321, "0", "0", "0"),
    "userfaultfd": _call(323, "1"),
    "perf_event_open": _call(298, "0", "0", "-1", "-1", "0"),
    "keyctl": _call(250, "0", "-3", "0"),
    "add_key": _call(248, "0", "0", "0", "0", "-3"),
    "io_uring_setup": _call(425, "1", "0"),
    "open_by_handle_at": _call(304, "0", "0", "0"),
    "mount_setattr": _call(442, "-100", "0", "0", "0", "0"),
}

ESCAPES = (
    *(
        Escape(name=name, where=where, script=script, proof=proof)
        for where in ("install", "cleanup", "extra-data", "block-device-size")
        for name, (script, proof) in _EVERYWHERE.items()
    ),
    *(Escape(name=name, where="install", script=script) for name, script in _INSIDE.items()),
    *(Escape(name=name, where="cleanup", script=script, proof=script == _AGENT) for name, script in _OUTSIDE.items()),
    *(
        Escape(name=name, where="extra-data", script=script, proof=script == _AGENT)
        for name, script in _ON_HOST.items()
    ),
    *(
        Escape(name=f"system-call-{name}", where=where, script=script)
        for where in ("cleanup", "extra-data")
        for name, script in _CALLS.items()
    ),
    Escape(
        name="loopback",
        where="install",
        script="busybox timeout 20 busybox nc 127.0.0.1 {port} </dev/null",
        proof=True,
        network=True,
    ),
    *(
        Escape(name=name, where=where, script=script, proof=True, network=True)
        for where in ("cleanup", "extra-data")
        for name, script in (("loopback", _LOOPBACK), ("an-abstract-socket", _ABSTRACT))
    ),
)
"""All of them."""
