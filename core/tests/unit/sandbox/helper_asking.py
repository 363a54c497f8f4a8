"""Asks root's helper for a namespace as its users would, and looks at what came."""

from __future__ import annotations

import array
import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELPER = "/usr/local/libexec/imagewright-namespace"
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000


def ask(
    argv: tuple[str, ...] = ("sudo", "-n", HELPER),
    *,
    before: Callable[[], None] | None = None,
    meanwhile: Callable[[int], None] | None = None,
    descriptors: tuple[int, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """Ask the helper; its exit status, what it said, and the maps of the namespace that came, if one did."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    options.setdefault("stdin", theirs)
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=before,
        pass_fds=descriptors,
        start_new_session=True,
        **options,
    )
    theirs.close()
    if meanwhile:
        meanwhile(process.pid)
    out, said = process.communicate(timeout=120)
    found = {"status": process.returncode, "said": (out + said).decode(errors="replace"), "maps": None}
    ours.setblocking(False)
    try:
        message, rights, _flags, _address = ours.recvmsg(65536, socket.CMSG_SPACE(16), socket.MSG_CMSG_CLOEXEC)
    except OSError:
        message, rights = b"", []
    numbers = array.array("i", b"".join(content for _level, _kind, content in rights))
    if message and numbers:
        found["maps"] = maps_of(numbers[0])
        found["told"] = json.loads(message)
        found["descriptors"] = len(numbers)
    for number in numbers:
        os.close(number)
    return found


def inside(namespace: int, look: Callable[[], object]) -> object:
    """What ``look`` returns in a process of ours that has entered the namespace."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if LIBC.setns(namespace, CLONE_NEWUSER):
                answer: object = f"setns: {os.strerror(ctypes.get_errno())}"
            else:
                answer = look()
        except OSError as error:
            answer = f"error: {error.strerror}"
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    os.waitpid(child, 0)
    return json.loads(content)


def maps_of(namespace: int) -> object:
    def look() -> object:
        texts = [Path(f"/proc/self/{kind}_map").read_text() for kind in ("uid", "gid")]
        return [[line.split() for line in text.splitlines()] for text in texts]

    return inside(namespace, look)
