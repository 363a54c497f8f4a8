"""Boots 9 to 11, and ramdisks between them: images that come to disks of metal, and what stays there."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from boots_kit import metal
from boots_kit.lab import Lab, lab_with
from boots_kit.metal import boot_server, breaking_server, empty_disk, ramdisk, run_ramdisk, table_of
from imagewright.boot.disks import Disk
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.machine import Machine
from imagewright.boot.running import RunningMachine
from imagewright.boot.seeds import write_nocloud
from imagewright.boot.ssh import Login, host_keys, make_key
from imagewright.testing.booting import Booter
from imagewright.types import GIB, MIB

IQN = "iqn.2012-11.org.imagewright:rehearsal"
DHCP = "ip=dhcp"
STATIC = "ip=10.0.2.15:10.0.2.2:10.0.2.2:255.255.255.0"
Folder = Callable[[str], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metal:
    """The image, the ramdisks, and what runs them."""

    lab: Lab
    folder: Path
    image: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What was seen of the system on a disk, by the first login."""

    disk: Path
    ramdisk: str
    keys: frozenset[str]
    facts: dict[str, str]


@pytest.fixture(scope="module")
def lab() -> Metal:
    try:
        folder = metal.build()
    except RuntimeError as error:
        pytest.fail(str(error))
    image = folder / "metal.qcow2"
    return Metal(lab=lab_with(lambda: image), folder=folder, image=image)


def live(it: Metal, disk: Disk, where: Path, commands: dict[str, str]) -> tuple[frozenset[str], dict[str, str]]:
    """Start what is on the disk, log in, run commands as root."""
    key = make_key(where)
    instance = Instance(id=new_instance_id(), hostname="metal", public_keys=(key.public,))
    machine = Machine(disks=(disk,), seeds=(write_nocloud(where / "seed.iso", instance),))
    with it.lab.run(machine, where) as running:
        login = it.lab.log_in(running, key)
        facts = {name: told(login, command) for name, command in commands.items()}
        keys = host_keys(running.ssh_port, kinds="ed25519")
        power_off(running, it.lab)
        return keys, facts


def told(login: Login, command: str) -> str:
    ran = login.run(f"sudo -n sh -c '{command}'")
    assert ran.ok, f"{command}: {ran.status}: {ran.stdout}{ran.stderr}"
    return ran.stdout.strip()


def power_off(machine: RunningMachine, lab: Lab) -> None:
    machine.shut_down(lab.patience)


@pytest.fixture(scope="module")
def first(lab: Metal, folder: Folder) -> Lived:
    """Boot 9: `deploy` has an empty disk written over iSCSI, by somebody who knows the password."""
    where = folder("boot-9")
    disk = empty_disk(where / "disk.raw", lab.lab.size + GIB)
    (where / "keys").write_text("rehearsal a-key\n")
    (where / "password").write_text("twelve-chars\n")
    arguments = f"{STATIC} disk=sda,vda iscsi_target_iqn={IQN} deployment_id=rehearsal deployment_key=a-key"
    arguments += " iscsi_chap_user=writer iscsi_chap_password=twelve-chars"
    machine = ramdisk(lab.folder, "deploy", disk, arguments)
    with lab.lab.run(machine, where) as it:
        forwards = [f"--connect-to=10.0.2.15:{port}=127.0.0.1:{it.port(port)}" for port in (3260, 10000)]
        options = ("--image", lab.image, "--keys", where / "keys", "--blank", *forwards)
        login = ("--chap-user", "writer", "--chap-password", where / "password")
        with boot_server(where, *options, *login, port=10000) as server:
            server.said("deployed", timeout=3 * lab.lab.patience)
            it.wait_for_end(lab.lab.patience)
            console = it.console
            assert [one["state"] for one in server.reports("deployment")] == ["done"]
            assert server.last_report()["state"] == "done"
    keys, facts = live(
        lab,
        Disk(path=disk, format="raw", keep=True),
        where,
        {"state": "findmnt -no SOURCE /state", "note": "echo kept > /state/note; echo lost > /root/note; sync"},
    )
    return Lived(disk=disk, ramdisk=console, keys=keys, facts=facts)


@pytest.fixture(scope="module")
def second(lab: Metal, first: Lived, folder: Folder) -> Lived:
    """Boot 10: `deploy-http` writes the same disk again."""
    where = folder("boot-10")
    with boot_server(where, "--image", lab.image) as server:
        image = f"{server.url}/images/metal.raw.zst"
        arguments = f"{DHCP} disk=vda boot_server_url={server.url} image_url={image}"
        server.said("image", "metal.raw.zst")
        console = run_ramdisk(lab.lab, ramdisk(lab.folder, "deploy-http", first.disk, arguments), where)
        assert [report["state"] for report in server.reports()] == ["started", "done"], console[-3000:]
    keys, facts = live(
        lab,
        Disk(path=first.disk, format="raw", keep=True),
        where,
        {"note": "cat /state/note", "root": "ls /root"},
    )
    return Lived(disk=first.disk, ramdisk=console, keys=keys, facts=facts)


def test_deploy_brings_an_image_to_an_empty_disk_and_it_lets_us_in(first: Lived) -> None:
    assert "imagewright: deploy: the boot server has written /dev/vda" in first.ramdisk
    # The kernel prints its own command line; nobody else repeats the password.
    assert "twelve-chars" not in first.ramdisk.partition("imagewright: deploy: starts")[2]
    assert first.facts["state"].startswith("/dev/vda")
    assert first.keys


def test_a_second_deployment_by_http_keeps_the_persistent_partition_and_its_host_key(
    first: Lived, second: Lived
) -> None:
    assert "the partition state stays" in second.ramdisk
    assert second.keys == first.keys
    assert second.facts["note"] == "kept"
    assert "note" not in second.facts["root"].split()


def test_deploy_http_brings_an_image_to_an_empty_disk_and_it_fills_the_disk(
    lab: Metal, first: Lived, tmp_path: Path, image_boot: Booter
) -> None:
    """Boot 11: an NVMe disk, started by UEFI, and asked as the tests of packs do."""
    disk = empty_disk(tmp_path / "disk.raw", lab.lab.size + GIB)
    with boot_server(tmp_path, "--image", lab.image) as server:
        digest = server.said("image", "/metal.raw.zst ").rpartition(" ")[2]
        arguments = f"{DHCP} disk=sda,nvme0n1 boot_server_url={server.url}"
        arguments += f" image_url={server.url}/images/metal.raw.zst image_sha256={digest}"
        machine = ramdisk(lab.folder, "deploy-http", disk, arguments, bus="nvme")
        console = run_ramdisk(lab.lab, machine, tmp_path)
        assert server.last_report()["state"] == "done", console[-3000:]
    assert "has written /dev/nvme0n1" in console
    booted = image_boot(disk, firmware="uefi", bus="nvme", timeout=lab.lab.patience)
    assert booted.check("findmnt -no SOURCE /").startswith("/dev/nvme0n1")
    # What the disk has more than the image, less what the filesystem needs for itself.
    assert int(booted.check("df --output=size -B1 / | tail -n 1")) > lab.lab.size - 1.3 * GIB + 0.9 * GIB
    assert not first.keys & host_keys(booted.machine.ssh_port, kinds="ed25519")
    assert booted.run("exit 3").status == 3
    with pytest.raises(AssertionError, match=r"ended with status 4:\nwords of the machine"):
        booted.check("echo words of the machine; exit 4")


def test_a_second_deployment_over_iscsi_writes_around_the_persistent_partition(
    lab: Metal, second: Lived, folder: Folder
) -> None:
    where = folder("iscsi-again")
    (where / "keys").write_text("rehearsal a-key\n")
    before = table_of(second.disk)
    assert before is not None
    state = next(part for part in before.partitions if part[0] == "state")
    content = _digest(second.disk, state[1] * 512, state[2] * 512)
    arguments = f"{STATIC} disk=vda iscsi_target_iqn={IQN} deployment_id=rehearsal deployment_key=a-key"
    machine = ramdisk(lab.folder, "deploy", second.disk, arguments)
    with lab.lab.run(machine, where) as it:
        forwards = [f"--connect-to=10.0.2.15:{port}=127.0.0.1:{it.port(port)}" for port in (3260, 10000)]
        options = ("--image", lab.image, "--keys", where / "keys", "--keep", "state", *forwards)
        with boot_server(where, *options, port=10000) as server:
            server.said("deployed", "kept state", timeout=3 * lab.lab.patience)
            it.wait_for_end(lab.lab.patience)
    assert _digest(second.disk, state[1] * 512, state[2] * 512) == content
    after = table_of(second.disk)
    assert after is not None
    assert state in after.partitions
    assert {part[0] for part in after.partitions} == {part[0] for part in before.partitions}


def _digest(disk: Path, offset: int, length: int) -> str:
    digest = hashlib.sha256()
    with disk.open("rb") as file:
        file.seek(offset)
        while length:
            piece = file.read(min(MIB, length))
            digest.update(piece)
            length -= len(piece)
    return digest.hexdigest()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An image that is quickly written, of 32 MiB."""
    image = empty_disk(tmp_path / "small.raw", 32 * MIB)
    script = 'label: gpt\nstart=2048, size=20480, name="root"\n'
    subprocess.run(("sfdisk", "-q", image), input=script.encode(), check=True)
    with image.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(bytes(range(256)) * 4096)
    return image


@pytest.mark.parametrize("fault", ["wrong digest", "broken download", "small disk"])
def test_a_deployment_that_fails_says_so_and_leaves_nothing_to_start_from(
    fault: str, lab: Metal, small: Path, tmp_path: Path
) -> None:
    mib = 16 if fault == "small disk" else 64
    disk = empty_disk(tmp_path / "disk.raw", mib * MIB)
    digest = hashlib.sha256(small.read_bytes()).hexdigest()
    with boot_server(tmp_path, "--image", small) as server, breaking_server(small.read_bytes()) as breaking:
        url = breaking if fault == "broken download" else f"{server.url}/images/small.raw"
        arguments = f"{DHCP} disk=vda boot_server_url={server.url} image_url={url}"
        arguments += f" image_sha256={'0' * 64 if fault == 'wrong digest' else digest}"
        console = run_ramdisk(lab.lab, ramdisk(lab.folder, "deploy-http", disk, arguments), tmp_path)
        report = server.last_report()
    reason = {
        "wrong digest": f"is {digest}, not {'0' * 64}",
        "broken download": "could not be fetched to its end",
        "small disk": f"the image needs a disk of {32 * MIB} bytes, /dev/vda has {16 * MIB}",
    }[fault]
    assert (report["state"], report["flavour"]) == ("failed", "deploy-http"), json.dumps(report)
    assert reason in report["message"]
    assert "deploy-http: FAILED: " in console
    assert table_of(disk) is None
