"""What the rules of the blank slate find among files, and what they leave alone."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping

import pytest
from imagewright.blankslate.looking import Seen, distinctive, findings
from imagewright.blankslate.marks import Marks, host_identifiers, host_names, proxies_of
from imagewright.blankslate.rules import NAMES, RULES, known


def found(
    files: Mapping[str, str | bytes],
    marks: Marks | None = None,
    homes: tuple[str, ...] = (),
    links: tuple[str, ...] = (),
) -> list[tuple[str, str]]:
    seen = []
    for path, given in files.items():
        content = given if isinstance(given, bytes) else given.encode()
        seen.append(Seen(path=path, size=len(content), link=path in links, read=lambda content=content: content))  # type: ignore[misc]
    return [(one.path, one.rule) for one in findings(seen, marks or Marks(), homes)]


CLEAN = {
    "/etc/machine-id": "",
    "/var/lib/dbus/machine-id": "uninitialized\n",
    "/etc/ssh/sshd_config": "PermitRootLogin no\n",
    "/var/log/dpkg.log": "",
    "/etc/resolv.conf": "# nameserver 192.0.2.1\noptions edns0\n",
    "/root/.ssh/authorized_keys": "# none\n\n",
    "/root/.ssh/id_ed25519.pub": "ssh-ed25519 AAAA somebody\n",
    "/etc/iscsi/initiatorname.iscsi": "GenerateName=yes\n",
    "/var/lib/cloud/seed/nocloud/user-data": "#cloud-config\n",
    "/var/lib/apt/lists/lock": "",
    "/etc/ssl/certs/authority.pem": "-----BEGIN CERTIFICATE-----\n",
    "/usr/share/doc/machine-id": "0123",
    "/etc/bash_history": "x",
}


def test_what_every_image_has_is_no_finding() -> None:
    assert found(CLEAN) == []


@pytest.mark.parametrize(
    ("path", "content", "rule"),
    [
        ("/etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAA", "ssh-host-keys"),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", "machine-id"),
        ("/var/lib/systemd/credential.secret", "x", "random-seed"),
        ("/var/lib/NetworkManager/secret_key", "x", "leases"),
        ("/var/log/journal/0123/system.journal", "x", "logs"),
        ("/home/ann/.python_history", "x", "histories"),
        ("/etc/resolv.conf", "search x\nnameserver 192.0.2.1\n", "resolver"),
        ("/var/lib/apt/lists/mirror_Packages", "x", "package-lists"),
        ("/var/cache/apt/pkgcache.bin", "x", "package-caches"),
        ("/var/cache/apt/archives/x.deb", "x", "package-caches"),
        ("/etc/netplan/50-cloud-init.yaml", "network:", "cloud-init-state"),
        ("/root/.ssh/authorized_keys2", "# x\nssh-ed25519 AAAA\n", "authorized-keys"),
        ("/root/.ssh/deploy", "-----BEGIN RSA PRIVATE KEY-----\n", "private-keys"),
        ("/etc/ssl/private/server.key", "-----BEGIN PRIVATE KEY-----\n", "private-keys"),
        ("/etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM==x\n", "persistent-net"),
        ("/etc/nvme/hostid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n", "initiator-names"),
    ],
)
def test_a_rule_finds_what_it_is_about(path: str, content: str, rule: str) -> None:
    assert found({path: content, **{name: text for name, text in CLEAN.items() if name != path}}) == [(path, rule)]


def test_homes_of_all_accounts_are_looked_at() -> None:
    files = {"/var/lib/nova/.ssh/authorized_keys": "ssh-ed25519 AAAA\n"}
    assert found(files) == []
    assert found(files, homes=("/var/lib/nova",)) == [("/var/lib/nova/.ssh/authorized_keys", "authorized-keys")]


def test_a_link_among_the_logs_is_left_alone_and_one_to_a_host_key_is_not() -> None:
    files = {"/var/log/README": "see the manual", "/etc/ssh/ssh_host_rsa_key": "secret"}
    assert found(files, links=tuple(files)) == [("/etc/ssh/ssh_host_rsa_key", "ssh-host-keys")]


MARKS = Marks(
    names=("build-7.example.org", "build-7"),
    paths=("/home/ann/.cache/imagewright", "/home/ann"),
    proxies=("proxy.example:3128",),
    identifiers=("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "0a1b-2c3d"),
    caches=("/var/cache/pm",),
    build_files={"/usr/sbin/policy-rc.d": hashlib.sha256(b"exit 101\n").hexdigest()},
)


@pytest.mark.parametrize(
    ("path", "content", "rule"),
    [
        ("/etc/apt/apt.conf.d/90x", 'Acquire::http::Proxy "http://ann:x@Proxy.example:3128/";', "proxy"),
        ("/etc/x", "dir=/home/ann/.cache/imagewright/work", "host-paths"),
        ("/root/.profile", "cd /home/ann", "host-paths"),
        ("/etc/x", "server build-7.example.org;", "host-name"),
        ("/etc/hostname", "build-7\n", "host-name"),
        ("/boot/grub/grub.cfg", "root=UUID=6BA7B810-9DAD-11D1-80B4-00C04FD430C8 ro", "host-identifiers"),
        ("/boot/loader/entries/x.conf", "options root=UUID=0A1B-2C3D", "host-identifiers"),
        ("/var/cache/pm/x.pkg", "x", "package-caches"),
        ("/usr/sbin/policy-rc.d", "exit 101\n", "build-files"),
    ],
)
def test_the_builders_marks_are_found_in_texts(path: str, content: str, rule: str) -> None:
    assert found({path: content}, MARKS) == [(path, rule)]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/x", "dir=/srv/home/ann and /home/anna"),
        ("/etc/x", "host rebuild-7 and build-77 and prebuild-7.example.organic"),
        ("/etc/x", "http://notproxy.example:3128 and proxy.example:31280"),
        ("/etc/x", b"\0\0/home/ann"),
        ("/etc/x", b"/home/ann" + b" " * (1 << 20)),
        ("/usr/share/doc/x", "/home/ann"),
        ("/usr/sbin/policy-rc.d", "exit 0\n"),
    ],
)
def test_what_only_looks_like_a_mark_is_none(path: str, content: str | bytes) -> None:
    assert found({path: content}, MARKS) == []


def test_a_home_that_the_image_has_too_is_no_path_of_the_host() -> None:
    assert found({"/etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\n"}, MARKS, homes=("/home/ann",)) == []


def test_a_name_that_may_be_any_word_counts_only_where_names_are() -> None:
    marks = Marks(names=("main",))
    assert not distinctive("main")
    assert found({"/etc/apt/sources.list": "deb http://x trixie main\n", "/etc/hosts": "127.0.1.1 main\n"}, marks) == [
        ("/etc/hosts", "host-name")
    ]


def test_the_names_of_this_machine_are_known_but_for_those_of_the_image() -> None:
    full = socket.gethostname().lower()
    names = host_names()
    assert full in names or full.startswith("localhost")
    assert full not in host_names(but=(full,))


def test_the_run_of_the_machine_is_among_its_identifiers_and_those_of_the_image_are_not() -> None:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    assert boot in host_identifiers()
    assert boot not in host_identifiers(but=(boot.upper(),))


def test_a_proxy_is_known_by_host_and_port_in_every_form() -> None:
    values = ("http://user:word@proxy.example:3128/", "proxy.example:3128", "https://[2001:db8::1]:80", "http://[", "")
    assert proxies_of(values) == ("[2001:db8::1]:80", "proxy.example:3128")


def test_marks_pass_through_json_as_they_are() -> None:
    assert Marks.of(MARKS.document()) == MARKS


def test_every_rule_has_a_name_of_its_own_and_something_to_find() -> None:
    assert len(set(NAMES)) == len(RULES)
    assert all(rule.paths or rule.mark for rule in RULES)
    assert all(rule.mark in ("", *Marks.__slots__) for rule in RULES)


def test_a_wrong_name_is_told_the_nearest() -> None:
    assert known("logs") == "logs"
    with pytest.raises(ValueError, match="did you mean `authorized-keys`"):
        known("authorised-keys")
    with pytest.raises(ValueError, match="the rules are ssh-host-keys"):
        known("zzz")
