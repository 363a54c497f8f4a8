"""Takes from an unpacked image what ties it to one machine, one disk, or whoever tried it out."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Callable

REMOVED = (
    "/etc/ssh/ssh_host_*",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/lib/urandom/random-seed",
    "/var/lib/cloud/*",
    "/var/log/cloud-init*",
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/network/interfaces.d/50-cloud-init*",
    "/etc/systemd/network/10-cloud-init-*",
    "/etc/udev/rules.d/70-persistent-net.rules",
    "/var/lib/dhcp/*",
    "/var/lib/systemd/network/*",
    # names the partition that the image came on
    "/etc/default/grub.d/40-force-partuuid.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub/grubenv",
    "/boot/efi/*",
    "/root/.bash_history",
    "/root/.ssh/known_hosts",
    "/usr/sbin/policy-rc.d",
)
"""Patterns of glob(7) of what goes; the first boot, or a later step of the build, makes what is needed anew."""

OF_THE_DISK = re.compile(r"(UUID|LABEL|PARTUUID|PARTLABEL)=|/dev/")
"""How devices of fstab(5) begin that are parts of the disk that the image came on."""

RESOLVER = "../run/systemd/resolve/stub-resolv.conf"


def tidy(report: Callable[[str], None]) -> None:
    """Tidy the tree that is the process's root."""
    for pattern in REMOVED:
        for path in sorted(glob.glob(pattern, include_hidden=True)):
            _remove(path)
            report(f"taken away: {path}")
    if os.path.isdir("/etc"):
        _write("/etc/machine-id", "")
        _write("/etc/hostname", "localhost\n")
        _resolver()
    _fstab()
    for account in _locked():
        report(f"the account {account} had a password; it has none that works now")


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _write(path: str, text: str) -> None:
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)


def _resolver() -> None:
    """A file of name servers is that of the machine where the image was made; links lead to what keeps one."""
    path = "/etc/resolv.conf"
    if os.path.islink(path):
        return
    if os.path.exists(path):
        os.unlink(path)
    if os.path.exists("/usr/lib/systemd/systemd-resolved"):
        os.symlink(RESOLVER, path)


def _fstab() -> None:
    path = "/etc/fstab"
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.readlines()
    kept = [line for line in lines if not _of_the_disk(line)]
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(kept)


def _of_the_disk(line: str) -> bool:
    words = line.split()
    return len(words) >= 2 and (words[1] == "/" or OF_THE_DISK.match(words[0]) is not None)


def _locked() -> list[str]:
    """Lock the accounts of shadow(5) that a password, or none at all, would open; their names."""
    path = "/etc/shadow"
    if not os.path.isfile(path):
        return []
    locked = []
    lines = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            account, colon, rest = line.partition(":")
            password, second, others = rest.partition(":")
            if colon and second and not password.startswith(("!", "*")):
                locked.append(account)
                line = f"{account}:!*:{others}"
            lines.append(line)
    if locked:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(lines)
    return locked
