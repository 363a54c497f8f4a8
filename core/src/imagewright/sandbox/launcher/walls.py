"""What a process of a step gives up before it becomes the flavour's program: capabilities, system calls, memory.

A user namespace makes its root powerless over the host; what is given up here keeps flaws of the kernel, which such a
root could reach, out of a hook's reach too. Standard library only: the launcher and what runs on the host use it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from typing import Literal

from imagewright.sandbox import syscalls

_KEPT = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}
"""What package managers and maintainer scripts use (capabilities(7)); no tracing and no settings of networks.

That for raw sockets is powerless over the host's network; a program such as ping does not start without it."""

_MOUNTS = 21
"""CAP_SYS_ADMIN, for a step inside the tree alone: it may lay mounts of its own over the tree, as in a chroot of old.

Outside the tree mounts are what covers the caller's files; nobody there may take them away.
"""

_ON_HOST = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_KILL")
"""What a root caller's own scripts keep on the host; an ordinary caller's have none anyway."""

_REFUSED = {
    # name: numbers on x86_64, i386, aarch64; None where there is no such call
    "acct": (163, 51, 89),
    "add_key": (248, 286, 217),
    "bpf": (321, 357, 280),
    "clock_adjtime": (305, 343, 266),
    "clock_settime": (227, 264, 112),
    "delete_module": (176, 129, 106),
    "finit_module": (313, 350, 273),
    "init_module": (175, 128, 105),
    "io_uring_enter": (426, 426, 426),
    "io_uring_register": (427, 427, 427),
    "io_uring_setup": (425, 425, 425),
    "ioperm": (173, 101, None),
    "iopl": (172, 110, None),
    "kexec_file_load": (320, None, 294),
    "kexec_load": (246, 283, 104),
    "fsconfig": (431, 431, 431),
    "fsmount": (432, 432, 432),
    "fsopen": (430, 430, 430),
    "fspick": (433, 433, 433),
    "keyctl": (250, 288, 219),
    "mount_setattr": (442, 442, 442),
    "move_mount": (429, 429, 429),
    "open_tree": (428, 428, 428),
    "open_by_handle_at": (304, 342, 265),
    "perf_event_open": (298, 336, 241),
    "quotactl": (179, 131, 60),
    "reboot": (169, 88, 142),
    "request_key": (249, 287, 218),
    "settimeofday": (164, 79, 170),
    "swapoff": (168, 115, 225),
    "swapon": (167, 87, 224),
    "syslog": (103, 103, 116),
    "userfaultfd": (323, 374, 282),
}
"""System calls that no step needs: they change or watch the whole machine, or had most of the kernel's flaws."""

REFUSED = tuple(sorted(_REFUSED))
"""Their names, for the documents and the tests."""

_NEWER_MOUNTS = ("fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree")
"""Refused to programs alone: mount(8) then takes mount(2), of which the filter sees what it asks for."""

_ABSENT = (*_NEWER_MOUNTS, "add_key", "io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl", "request_key")
"""Those that programs do without where the kernel says that it has them not."""

_MACHINES = {"x86_64": (0xC000003E, 0), "i386": (0x40000003, 1), "aarch64": (0xC00000B7, 2)}
_TOGETHER = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}
"""The kinds of programs (``AUDIT_ARCH_*``, and the column above) that a kernel of a machine runs."""

_NAMESPACES = {  # those that take flags in their first argument, and the one that takes a structure
    "x86_64": ((56, 272), 435),
    "i386": ((120, 310), 435),
    "aarch64": ((220, 97), 435),
}
_MOUNT = {"x86_64": 165, "i386": 21, "aarch64": 40}
_MS_REMOUNT = 0x20
_X32 = 0x4000_0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _FOURTH_ARGUMENT = 0, 4, 16, 40  # offsets in struct seccomp_data
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000

_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_LAST_CAPABILITY = 63


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def filter_calls(*, ours: bool = False) -> None:
    """Have the kernel refuse the system calls of REFUSED from now on, in all children too (seccomp(2)).

    Unless the program is ``ours`` also new user namespaces, in which a process would be root with all capabilities
    again, and changes of mounts that are there, such as those that are read only.
    The caller needs CAP_SYS_ADMIN in its user namespace, or :func:`gain_nothing` before. On machines whose numbers are
    not known nothing is filtered. Raises OSError.
    """
    machine = os.uname().machine
    if machine not in _TOGETHER:
        return
    code = _assembled(_TOGETHER[machine], ours=ours)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(length=len(code) // 8, code=ctypes.addressof(buffer))
    syscalls.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def drop_capabilities(place: Literal["inside", "outside", "host"]) -> None:
    """Lose for good what a step does not need inside the tree, outside of it, or on the host as the root caller.

    Raises OSError.
    """
    kept = {bit for name, bit in _KEPT.items() if place != "host" or name in _ON_HOST}
    if place == "inside":
        kept.add(_MOUNTS)
    for bit in range(_LAST_CAPABILITY + 1):
        if bit in kept:
            continue
        try:
            syscalls.prctl(_PR_CAPBSET_DROP, bit)
        except OSError as error:
            if error.errno == errno.EINVAL:  # beyond what this kernel knows
                break
            raise
    mask = sum(1 << bit for bit in kept)
    syscalls.set_capabilities(mask)


def gain_nothing() -> None:
    """No program that is started from now on gains rights, whatever its setuid bits or capabilities say."""
    syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def limit_memory(most: int) -> None:
    """Let no process have more than ``most`` bytes of memory of its own (RLIMIT_DATA); 0: no limit."""
    if most:
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _assembled(machines: tuple[str, ...], *, ours: bool) -> bytes:
    """The filter as classic BPF: for each kind of program its own list; a kind that is not known may do nothing."""
    code: list[bytes] = [_instruction(_LOAD, 0, 0, _MACHINE)]
    for machine in machines:
        audit, column = _MACHINES[machine]
        part = [_instruction(_LOAD, 0, 0, _NUMBER)]
        if machine == "x86_64":
            part += [_instruction(_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)]
        for name, numbers in sorted(_REFUSED.items()):
            number = numbers[column]
            if number is not None and not (ours and name in _NEWER_MOUNTS):
                part += [
                    _instruction(_EQUAL, 0, 1, number),
                    _refuse(errno.ENOSYS if name in _ABSENT else errno.EPERM),
                ]
        if not ours:
            with_flags, with_structure = _NAMESPACES[machine]
            # its flags lie in memory, where no filter looks; the C library then takes the older call
            part += [_instruction(_EQUAL, 0, 1, with_structure), _refuse(errno.ENOSYS)]
            for number in with_flags:
                part += _unless(number, _FIRST_ARGUMENT, syscalls.CLONE_NEWUSER)
            part += _unless(_MOUNT[machine], _FOURTH_ARGUMENT, _MS_REMOUNT)
        part.append(_instruction(_RETURN, 0, 0, _ALLOW))
        # a jump reaches 255 instructions: enough for one list
        code += [_instruction(_EQUAL, 0, len(part), audit), *part]
    code.append(_refuse(errno.ENOSYS))
    return b"".join(code)


def _unless(number: int, argument: int, flag: int) -> list[bytes]:
    """Allow the call unless its argument, by its offset, has the flag."""
    return [
        _instruction(_EQUAL, 0, 4, number),
        _instruction(_LOAD, 0, 0, argument),
        _instruction(_ANY_BIT, 0, 1, flag),
        _refuse(errno.EPERM),
        _instruction(_RETURN, 0, 0, _ALLOW),
    ]


def _instruction(operation: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _instruction(_RETURN, 0, 0, _ERRNO | number)
