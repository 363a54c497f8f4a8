"""Messages between the builder and its launcher: JSON with file descriptors, over a socket that keeps their bounds.

A message that may be too long for the socket's buffer goes through a file in memory.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

LONGEST = 1 << 16
"""The longest message that goes through the socket itself, in bytes."""

_IN_MEMORY = b"in memory"
_MOST_DESCRIPTORS = 8


def send(channel: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message; the descriptors stay open here. Raises OSError when the other end is gone."""
    data = json.dumps(message).encode()
    if len(data) <= LONGEST:
        socket.send_fds(channel, [data], list(descriptors))
        return
    with open(os.memfd_create("message"), "w+b") as stream:
        stream.write(data)
        stream.flush()
        socket.send_fds(channel, [_IN_MEMORY], [*descriptors, stream.fileno()])


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message with its descriptors; None when the other end is gone."""
    try:
        data, rights, _flags, _address = channel.recvmsg(
            LONGEST + 1, socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionError:
        return None
    received = array.array("i")
    for level, kind, content in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
    if not data:
        return None
    descriptors = list(received)
    if data == _IN_MEMORY:
        with open(descriptors.pop(), "rb") as stream:
            stream.seek(0)
            data = stream.read()
    message: dict[str, Any] = json.loads(data)
    return message, descriptors
