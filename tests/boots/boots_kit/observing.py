"""What a test wants to know of a running machine, found out in one login."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

from imagewright.boot.ssh import Login
from imagewright.types import MIB

# Runs in the machine as root, with the Python that cloud-init brings.
_SCRIPT = r"""
import glob, json, os, subprocess

def run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()

def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        return "(%s)" % error.strerror

state = run("systemctl", "is-system-running", "--wait")
whole = os.statvfs("/")
print(json.dumps({
    "state": state,
    "failed": [line.split()[0] for line in run("systemctl", "--failed", "--plain", "--no-legend").splitlines()],
    "why": {
        line.split()[0]: run("journalctl", "-b", "-n", "15", "--no-pager", "-u", line.split()[0])
        for line in run("systemctl", "--failed", "--plain", "--no-legend").splitlines()
    },
    "hostname": run("hostname"),
    "uefi": os.path.isdir("/sys/firmware/efi"),
    "kernel": os.uname().release,
    "command_line": read("/proc/cmdline"),
    "root_size": whole.f_frsize * whole.f_blocks,
    "root_disk": run("findmnt", "-no", "SOURCE", "/"),
    "cloud": run("cloud-id"),
    "machine_id": read("/etc/machine-id"),
    "host_keys": sorted(" ".join(read(path).split()[:2]) for path in glob.glob("/etc/ssh/ssh_host_*_key.pub")),
    "usable_passwords": [
        line.split(":")[0] for line in read("/etc/shadow").splitlines() if line.split(":")[1][:1] not in ("!", "*")
    ],
    "ran": read("/var/lib/first-boot-probe/ran").splitlines(),
    "note": read("/var/lib/first-boot-probe/note"),
    "environment": read("/var/lib/first-boot-probe/environment"),
    "hosts": read("/etc/hosts"),
    "stamps": sorted(map(os.path.basename, glob.glob("/var/lib/imagewright/first-boot/*"))),
}))
"""


def observe(login: Login, *, timeout: float = 600) -> dict[str, Any]:
    """Wait until the machine has booted to the end, then look around as root."""
    ran = login.run("sudo -n python3 -", stdin=_SCRIPT, timeout=timeout)
    assert ran.ok, f"{ran.status}: {ran.stdout}{ran.stderr}"
    seen: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return seen


def root_filesystem_size(disk: Path) -> int:
    """The size in bytes of the ext4 filesystem in the last partition of a qcow2 disk that no machine uses.

    The fields are those of the GPT (UEFI specification 5.3) and of ext4's superblock.
    """
    table = _read(disk, 0)
    count, size = struct.unpack_from("<II", table, 512 + 80)
    entries = [table[at : at + size] for at in range(1024, 1024 + count * size, size)]
    first_sector = max(struct.unpack_from("<Q", entry, 32)[0] for entry in entries if any(entry[:16]))
    superblock = _read(disk, first_sector * 512 // MIB)[first_sector * 512 % MIB + 1024 :]
    assert superblock[56:58] == b"\x53\xef", "no ext4 there"
    (blocks,) = struct.unpack_from("<I", superblock, 4)
    (log_block_size,) = struct.unpack_from("<I", superblock, 24)
    return int(blocks) << (10 + log_block_size)


def virtual_size(disk: Path) -> int:
    """The size in bytes that a machine sees."""
    told = subprocess.run(("qemu-img", "info", "--output=json", disk), check=True, capture_output=True)
    return int(json.loads(told.stdout)["virtual-size"])


def _read(disk: Path, mib: int) -> bytes:
    part = disk.with_suffix(".part")
    argv = (
        "qemu-img", "dd", "-f", "qcow2", "-O", "raw",
        "bs=1M", f"skip={mib}", f"count={mib + 1}", f"if={disk}", f"of={part}",
    )  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True)
    content = part.read_bytes()
    part.unlink()
    return content
