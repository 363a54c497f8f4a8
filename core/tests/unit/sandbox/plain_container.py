"""Runs a program as a plain container does: as root, with few capabilities, and under a seccomp filter. For root.

    plain_container.py CAPABILITIES filtered|unconfined COMMAND ARGUMENT...

CAPABILITIES are the bits, in hexadecimal, of those that are left (capabilities(7)). The filter refuses what those of
docker and podman refuse a container without CAP_SYS_ADMIN, as far as namespaces and mounts go.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

X86 = os.uname().machine == "x86_64"
UNSHARE, CLONE, CLONE3, MOUNT, SETNS, SECCOMP = (272, 56, 435, 165, 308, 317) if X86 else (97, 220, 435, 40, 268, 277)
NAMESPACES = 0x7E020000  # all flags of clone(2) that make one
ALLOW, REFUSE, NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS

LIBC = ctypes.CDLL(None, use_errno=True)


def filtered() -> None:
    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06  # bpf(2)
    program = [
        (load, 0, 0, 0),  # the number of the call
        (equal, 7, 0, UNSHARE),
        (equal, 6, 0, MOUNT),
        (equal, 5, 0, SETNS),
        (equal, 5, 0, CLONE3),
        (equal, 0, 2, CLONE),
        (load, 0, 0, 16),  # the lower half of its first argument
        (any_bit, 1, 0, NAMESPACES),
        (give, 0, 0, ALLOW),
        (give, 0, 0, REFUSE),
        (give, 0, 0, NO_SUCH_CALL),
    ]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    described = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(filters))
    if LIBC.syscall(SECCOMP, 1, 0, described):
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    left = int(sys.argv[1], 16)
    if sys.argv[2] == "filtered":
        filtered()
    for number in range(64):
        if not left >> number & 1:
            LIBC.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP
    low, high = left & 0xFFFFFFFF, left >> 32
    if LIBC.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", low, low, 0, high, high, 0)):
        raise OSError(ctypes.get_errno(), "capset")
    os.execvp(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
