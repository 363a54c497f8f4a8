"""UEFI firmware for QEMU, in the places where distributions put it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from imagewright.errors import HostError

# Code and the template of its variables, which belong together by size. Debian and Ubuntu, Fedora, Arch.
PLACES = (
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/OVMF/OVMF_CODE.fd", "usr/share/OVMF/OVMF_VARS.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uefi:
    """Read-only code, and the template of the variables of which every machine gets its own copy."""

    code: Path
    variables: Path


def find_uefi(root: Path = Path("/")) -> Uefi:
    """The firmware of this host. Raises HostError with the package that brings it."""
    for code, variables in PLACES:
        found = Uefi(code=root / code, variables=root / variables)
        if all(os.access(path, os.R_OK) for path in (found.code, found.variables)):
            return found
    raise HostError(
        "missing-firmware",
        "booting with UEFI needs the firmware OVMF, which is not installed",
        where=tuple(f"looked for {root / code}" for code, _ in PLACES),
        hint="sudo apt-get install ovmf",
    )
