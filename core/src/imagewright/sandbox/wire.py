"""The messages between a build and its launcher: JSON with file descriptors, over a socket that keeps their bounds."""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Sequence
from typing import Any

LARGEST = 1 << 20
"""The largest message, in bytes."""


def send(channel: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message; the descriptors stay open here."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    channel.sendmsg([json.dumps(message).encode()], rights)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message with its descriptors; None when the other end is gone."""
    data, rights, _flags, _address = channel.recvmsg(LARGEST, socket.CMSG_SPACE(8 * array.array("i").itemsize))
    descriptors = array.array("i")
    for level, kind, content in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if not data:
        return None
    message: dict[str, Any] = json.loads(data)
    return message, list(descriptors)
