"""The rules of the blank slate, as one table; their names are stable, since flavours and users allow by them."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

PRIVATE_KEY = rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"

HOME = "~"
"""What patterns begin with that are meant for every account's home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Something that may not be in an image.

    ``what`` is the subject of the documentation, ``why`` completes the sentence "/path …" of a message. ``paths`` are
    patterns of absolute paths: ``*`` is anything within one name, ``**`` at the end everything below, ``~`` every home.
    A file counts if it is not empty and, where ``text`` is given, holds a match of that pattern and, where ``but`` is
    given, is no match of it as a whole. A symbolic link counts as what it leads to, unless ``links`` says otherwise.
    ``mark`` names a field of :class:`~imagewright.blankslate.marks.Marks` instead, whose values no text may hold.
    """

    name: str
    what: str
    why: str
    paths: tuple[str, ...] = ()
    text: bytes = b""
    but: bytes = b""
    links: bool = True
    mark: str = ""


RULES = (
    Rule(
        name="ssh-host-keys",
        what="host keys of ssh servers",
        why="is a host key",
        paths=(
            "/etc/ssh/ssh_host_*",
            "/etc/dropbear/dropbear_*_host_key",
            "/etc/dropbear/initramfs/dropbear_*_host_key",
            "/etc/dropbear-initramfs/dropbear_*_host_key",
        ),
    ),
    Rule(
        name="machine-id",
        what="the identity of a machine (machine-id(5))",
        why="names one machine",
        paths=("/etc/machine-id", "/var/lib/dbus/machine-id"),
        but=rb"\s*(uninitialized)?\s*",
    ),
    Rule(
        name="random-seed",
        what="random numbers and the secret that credentials are sealed with",
        why="is a secret of one machine",
        paths=(
            "/var/lib/systemd/random-seed",
            "/var/lib/urandom/random-seed",
            "/var/lib/random-seed",
            "/var/lib/systemd/credential.secret",
        ),
    ),
    Rule(
        name="leases",
        what="leases and identities of DHCP clients, and what network managers remember",
        why="is what one machine was given on its network",
        paths=(
            "/var/lib/dhcp/**",
            "/var/lib/dhclient/**",
            "/var/lib/dhcpcd/**",
            "/var/lib/NetworkManager/**",
            "/var/lib/systemd/network/**",
        ),
    ),
    Rule(
        name="logs",
        what="files of `/var/log` that are not empty; links are left alone",
        why="is a log of the build",
        paths=("/var/log/**",),
        links=False,
    ),
    Rule(
        name="histories",
        what="what shells, editors and clients remember of their users",
        why="is what a user left behind",
        paths=(
            "~/.*_history",
            "~/.lesshst",
            "~/.viminfo",
            "~/.wget-hsts",
            "~/.ssh/known_hosts",
            "~/.ssh/known_hosts.old",
        ),
    ),
    Rule(
        name="resolver",
        what="name servers in `/etc/resolv.conf`",
        why="names the name servers of one network",
        paths=("/etc/resolv.conf",),
        text=rb"(?m)^[ \t]*nameserver[ \t]",
    ),
    Rule(
        name="proxy",
        what="the caller's proxies, in text files",
        why="names a proxy of the builder's",
        mark="proxies",
    ),
    Rule(
        name="package-lists",
        what="indexes of package archives; machines fetch their own",
        why="is an index of packages",
        paths=("/var/lib/apt/lists/**",),
    ),
    Rule(
        name="package-caches",
        what="packages that were fetched, and caches of package managers",
        why="is left of an installation of packages",
        paths=(
            "/var/cache/apt/*.bin",
            "/var/cache/apt/archives/**",
            "/var/cache/dnf/**",
            "/var/cache/yum/**",
            "/var/lib/dpkg/*-old",
            "/var/cache/debconf/*-old",
        ),
        mark="caches",
    ),
    Rule(
        name="cloud-init-state",
        what="what cloud-init wrote for an instance",
        why="belongs to one instance of a cloud",
        paths=(
            "/var/lib/cloud/data/**",
            "/var/lib/cloud/handlers/**",
            "/var/lib/cloud/instance/**",
            "/var/lib/cloud/instances/**",
            "/var/lib/cloud/scripts/**",
            "/var/lib/cloud/sem/**",
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init*",
            "/etc/systemd/network/10-cloud-init-*",
        ),
    ),
    Rule(
        name="authorized-keys",
        what="keys that may log in over ssh",
        why="lets the owner of a key log in",
        paths=("~/.ssh/authorized_keys", "~/.ssh/authorized_keys2", "/etc/ssh/authorized_keys/**"),
        text=rb"(?m)^[ \t]*[^#\s]",
    ),
    Rule(
        name="private-keys",
        what="private keys of users, services and module signing",
        why="is a private key, the same in every copy",
        paths=(
            "~/.ssh/**",
            "/etc/ssl/private/**",
            "/etc/pki/tls/private/**",
            "/etc/puppet/ssl/**",
            "/etc/puppetlabs/puppet/ssl/**",
            "/var/lib/puppet/ssl/**",
            "/var/lib/dkms/*.key",
            "/var/lib/shim-signed/mok/**",
        ),
        text=PRIVATE_KEY,
    ),
    Rule(
        name="persistent-net",
        what="udev rules that tie the names of network cards to their addresses",
        why="names the network cards of one machine",
        paths=("/etc/udev/rules.d/*persistent-net*.rules", "/etc/udev/rules.d/*persistent-cd*.rules"),
        text=rb"(?m)^[ \t]*[^#\s]",
    ),
    Rule(
        name="initiator-names",
        what="names of iSCSI initiators and NVMe hosts",
        why="names one machine to its storage",
        paths=("/etc/iscsi/initiatorname.iscsi", "/etc/nvme/hostid", "/etc/nvme/hostnqn"),
        text=rb"(?m)^[ \t]*(InitiatorName[ \t]*=|[0-9a-fA-F]{8}-|nqn\.)",
    ),
    Rule(
        name="build-files",
        what="files that serve the build alone, such as the script that keeps services from starting",
        why="serves the build alone",
        mark="build_files",
    ),
    Rule(
        name="host-paths",
        what="paths of the builder in text files: the cache, the work folder, the caller's home",
        why="names a path of the builder's machine",
        mark="paths",
    ),
    Rule(
        name="host-name",
        what="the name of the builder's machine, in files of names and, if it is a distinctive one, in all text files",
        why="has the name of the builder's machine",
        mark="names",
    ),
    Rule(
        name="host-identifiers",
        what="identifiers of the builder's machine and its disks, in text files",
        why="names a disk or an identity of the builder's machine",
        mark="identifiers",
    ),
)
"""In the order of the documentation."""

NAMES = tuple(rule.name for rule in RULES)

TEXTS = (
    "/boot/**",
    "/etc/**",
    "/usr/lib/imagewright/**",
    "/usr/lib/systemd/network/**",
    "/usr/lib/systemd/system/**",
    "/usr/local/etc/**",
    "/var/cache/debconf/config.dat",
    "/init",
    "~/.*",
)
"""Where text files are looked through for the marks of the builder."""

NAMING = ("/etc/hostname", "/etc/hosts", "/etc/mailname", "/etc/postfix/main.cf", "/etc/exim4/update-exim4.conf.conf")
"""Files that hold names of machines, so that any word in them may be one."""


def known(name: str) -> str:
    """``name``, if it is that of a rule. Raises ValueError with the nearest one if not."""
    if name in NAMES:
        return name
    near = get_close_matches(name, NAMES, 1)
    raise ValueError(f"did you mean `{near[0]}`?" if near else f"the rules are {', '.join(NAMES)}")
