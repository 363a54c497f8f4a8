"""The programs that a boot needs, and the Debian packages that bring them."""

from __future__ import annotations

import shutil

from imagewright.errors import HostError

QEMU = "qemu-system-x86_64"

PACKAGES = {
    QEMU: "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ssh-keyscan": "openssh-client",
}


def find(program: str) -> str:
    """The path of a program on PATH. Raises HostError with the package that brings it."""
    path = shutil.which(program)
    if path is None:
        package = PACKAGES.get(program, program)
        raise HostError(
            "missing-tool",
            f"booting an image needs `{program}`, which is not on PATH",
            hint=f"sudo apt-get install {package}",
        )
    return path
