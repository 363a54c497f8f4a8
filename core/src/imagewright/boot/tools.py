"""The programs that a boot needs."""

from __future__ import annotations

from imagewright import hosttools
from imagewright.errors import HostError

QEMU = "qemu-system-x86_64"
PROGRAMS = (QEMU, "qemu-img", "setpriv", "ssh", "ssh-keygen", "ssh-keyscan")


def find(program: str) -> str:
    """The path of a program. Raises HostError with the package that brings it."""
    path = hosttools.find(program)
    if path is None:
        package = hosttools.tool(program).package
        raise HostError(
            "missing-tool",
            f"booting an image needs `{program}`, which is not installed",
            hint=f"sudo apt-get install {package}" if package else "imagewright doctor",
        )
    return str(path)
