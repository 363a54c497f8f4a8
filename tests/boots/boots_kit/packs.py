"""The image with the packs in it, and the lives of its machine."""

from __future__ import annotations

import json
import os
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagewright.boot.ssh import KeyPair, Login, make_key

from boots_kit import images, wheels
from boots_kit.puppet import PuppetServer

NAME = "packs"
CHOSEN = (
    "debian", "vm", "mellanox", "persistent-state", "baremetal", "local-config", "devuser", "puppet-agent",
    "dkms-example", "nova-compute",
)  # fmt: skip
PROJECTS = (
    "core", "plugins/debian", "flavour-packs/standard", "flavour-packs/mellanox", "flavour-packs/puppet-agent",
    "flavour-packs/dkms-example", "flavour-packs/nova-compute",
)  # fmt: skip
KEPT_DIRECTORY = "/var/lib/kept"
WITHOUT_PROXY = "intranet.example.test"
_WORDS = ("-t", "qcow2,tar", "--set", f"persistent-state.directories={KEPT_DIRECTORY}", *CHOSEN)

CERTNAME = "node-{instance}.example.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class PacksImage:
    """The image, the archive of its tree, its manifest, and the key of whoever built it."""

    disk: Path
    archive: Path
    manifest: dict[str, Any]
    key: KeyPair


def build() -> PacksImage:
    """Build it with wheels in an empty environment, as a user with a key and a proxy exception of one's own.

    An image of the same sources serves again. Raises RuntimeError with a program's words if it fails.
    """
    folder = images.kept(images.digest(NAME, *_WORDS), _make)
    private = folder / "key"
    return PacksImage(
        disk=folder / f"{NAME}.qcow2",
        archive=folder / f"{NAME}.tar",
        manifest=json.loads((folder / f"{NAME}.manifest.json").read_text()),
        key=KeyPair(private=private, public=(folder / "key.pub").read_text().strip()),
    )


def _make(folder: Path) -> None:
    key = make_key(folder)
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/authorized_keys").write_text(f"{key.public}\n")
    # another home, and the cache of packages that the caller has
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    exceptions = ",".join(word for word in (os.environ.get("no_proxy", ""), WITHOUT_PROXY) if word)
    with tempfile.TemporaryDirectory() as passing:
        commands = wheels.install(Path(passing), PROJECTS)
        images.run_the_command(
            folder / f"{NAME}.qcow2", *_WORDS, program=commands / "disk-image-create",
            HOME=str(home), XDG_CACHE_HOME=cache, no_proxy=exceptions, PYTHONPATH="",
        )  # fmt: skip


def user_data(server: PuppetServer) -> str:
    """The user data that the README of puppet-agent describes."""
    authority = textwrap.indent(server.authority, " " * 6)
    return f"""#cloud-config
puppet:
  install: false
  conf:
    main:
      server: 10.0.2.2
      serverport: "{server.port}"
    agent:
      certname: "{CERTNAME.format(instance="%i")}"
    ca_cert: |
{authority}"""


# -- looking around

# As root, with Python; the agent is waited for, since it starts while the machine boots.
_SCRIPT = r"""
import glob, json, os, subprocess, sys, time

def run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()

def status(*argv):
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        return "(%s)" % error.strerror

patience = float(sys.argv[1])
state = run("systemctl", "is-system-running", "--wait")
failed = [line.split()[0] for line in run("systemctl", "--failed", "--plain", "--no-legend").splitlines()]
started = [line.split()[0] for line in read("/proc/modules").splitlines()]
kernel = os.uname().release
deadline = time.monotonic() + patience
while not os.path.exists("/var/lib/taken-over") and time.monotonic() < deadline:
    time.sleep(1)
print(json.dumps({
    "state": state,
    "failed": failed,
    "why": {unit: run("journalctl", "-b", "-n", "15", "--no-pager", "-u", unit) for unit in failed},
    "kernel": kernel,
    "modules": started,
    "loaded": {name: status("modprobe", name) for name in sys.argv[2:]},
    "initramfs": [
        os.path.basename(line).split(".ko")[0]
        for line in run("lsinitramfs", "/boot/initrd.img-" + kernel).splitlines() if ".ko" in line
    ],
    "module_file": run("modinfo", "-n", "imagewright_example"),
    "module_magic": run("modinfo", "-F", "vermagic", "imagewright_example"),
    "greeting": read("/sys/module/imagewright_example/parameters/greeting"),
    "kernel_log": [line for line in run("dmesg").splitlines() if "imagewright_example:" in line],
    "state_mount": run("findmnt", "-no", "FSTYPE,LABEL", "/state").split(),
    "host_keys": sorted(" ".join(read(path).split()[:2]) for path in glob.glob("/etc/ssh/ssh_host_*_key.pub")),
    "kept_keys": sorted(" ".join(read(path).split()[:2]) for path in glob.glob("/state/ssh/ssh_host_*_key.pub")),
    "initiator": read("/etc/iscsi/initiatorname.iscsi"),
    "vlan": status("modprobe", "8021q"),
    "iscsiadm": run("iscsiadm", "--version"),
    "taken_over": read("/var/lib/taken-over"),
    "agent": run("systemctl", "is-active", "puppet.service"),
    "agent_log": run("journalctl", "-b", "--no-pager", "-n", "40", "-u", "puppet.service"),
    "nova": run("systemctl", "is-enabled", "nova-compute.service"),
    "proxies_of_apt": run("apt-config", "dump", "Acquire::http::Proxy"),
    "login_environment": run("su", "-", "devuser", "-c", "printenv no_proxy"),
}))
"""


def observe(login: Login, *, patience: float, modules: tuple[str, ...]) -> dict[str, Any]:
    """Wait until the machine has booted and the agent has run, then look around as root."""
    words = " ".join(modules)
    ran = login.run(f"sudo -n python3 - {patience:.0f} {words}", stdin=_SCRIPT, timeout=3 * patience)
    assert ran.ok, f"{ran.status}: {ran.stdout}{ran.stderr}"
    seen: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return seen
