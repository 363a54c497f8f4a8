"""QEMU's machine protocol, as far as a boot needs it: https://www.qemu.org/docs/master/interop/qmp-spec.html."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import Any


class Qmp:
    """The connection to a running QEMU over ``connection``, which it owns.

    Every method raises OSError if QEMU is gone or does not answer within ``limit`` seconds.
    """

    def __init__(self, connection: socket.socket, *, limit: float = 20.0) -> None:
        connection.settimeout(limit)
        self._socket = connection
        self._stream = connection.makefile("rwb")
        self._greeted = False

    def close(self) -> None:
        """End the connection; QEMU goes on."""
        with contextlib.suppress(OSError):
            self._stream.close()
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return its result. Raises OSError for QEMU's refusal."""
        if not self._greeted:
            self._read()
            self._greeted = True
            self.execute("qmp_capabilities")
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._stream.flush()
        while True:
            message = self._read()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise OSError(f"{command}: {message['error'].get('desc', 'refused')}")

    def forwarded_port(self, port: int = 22) -> int:
        """The port of 127.0.0.1 that leads to a port of the machine. Raises OSError if there is none."""
        table = self.execute("human-monitor-command", **{"command-line": "info usernet"})
        found = re.search(rf"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+{port}\b", table)
        if found is None:
            raise OSError("no forwarded port")
        return int(found.group(1))

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise ConnectionError("QEMU closed its monitor")
        message: dict[str, Any] = json.loads(line)
        return message
