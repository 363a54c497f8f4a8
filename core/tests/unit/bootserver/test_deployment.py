"""Disks of real targets, written by the real initiator."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imagewright.bootserver.deployment import Order, deploy
from imagewright.bootserver.errors import DeploymentFailed
from imagewright.bootserver.initiator import Initiator, Target
from imagewright.bootserver.protocol import ISCSI_PORT, PORT, Endpoint, Request

from .conftest import IQN, MIB, Machine, write_disk

SYSTEM = (("bios", 1, 1), ("state", 2, 8), ("root", 10, 20))
REQUEST = Request(id="17", key="", address="192.0.2.7", iqn=IQN)


@pytest.fixture
def told() -> Iterator[tuple[int, threading.Event]]:
    """A port like the ramdisk's, and whether somebody connected."""
    event = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            # The server is closed where nobody comes.
            with contextlib.suppress(OSError), server.accept()[0]:
                event.set()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], event


def order(image: Path, machine: Machine, port: int, **more: object) -> Order:
    reached = {
        Endpoint(address=REQUEST.address, port=ISCSI_PORT): Endpoint(address="127.0.0.1", port=machine.port),
        Endpoint(address=REQUEST.address, port=PORT): Endpoint(address="127.0.0.1", port=port),
    }
    return Order(image=image, chap=machine.target.chap, connect_to=reached, patience=1, **more)  # type: ignore[arg-type]


def qcow2(raw: Path) -> Path:
    image = raw.with_suffix(".qcow2")
    subprocess.run(("qemu-img", "convert", "-O", "qcow2", "-c", raw, image), check=True)
    return image


def at(disk: Path, mib: int, length: int = 9) -> bytes:
    with disk.open("rb") as file:
        file.seek(mib * MIB)
        return file.read(length)


def no_fault(disk: Path) -> None:
    done = subprocess.run(("sgdisk", "-v", disk), capture_output=True, text=True, check=True)
    assert "No problems found" in done.stdout, done.stdout


@pytest.mark.parametrize("blank", [False, True])
def test_a_used_disk_holds_the_whole_image_afterwards_whatever_is_said_of_it(
    blank: bool, tgt: Callable[..., Machine], told: tuple[int, threading.Event], tmp_path: Path
) -> None:
    raw = write_disk(tmp_path / "image", 32, *SYSTEM)
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xaa" * (48 * MIB))
    machine = tgt(disk)
    done = deploy(order(qcow2(raw), machine, told[0], blank=blank), REQUEST, tmp_path, Initiator(tmp_path))
    assert (done.image_size, done.disk_size, done.kept) == (32 * MIB, 48 * MIB, ())
    assert told[1].wait(60)
    no_fault(disk)
    content, wanted = disk.read_bytes(), raw.read_bytes()
    assert content[MIB : 31 * MIB] == wanted[MIB : 31 * MIB]
    assert content[:446] == wanted[:446]


def test_a_blank_disk_stays_sparse(
    tgt: Callable[..., Machine], told: tuple[int, threading.Event], tmp_path: Path
) -> None:
    raw = write_disk(tmp_path / "image", 32, *SYSTEM)
    disk = write_disk(tmp_path / "disk", 64)
    deploy(order(raw, tgt(disk), told[0], blank=True), REQUEST, tmp_path, Initiator(tmp_path))
    no_fault(disk)
    assert at(disk, 10, 5) == b"root "
    assert disk.stat().st_blocks * 512 < 2 * MIB


def test_a_second_deployment_leaves_the_partition_that_stays_as_it_was(
    tgt: Callable[..., Machine], told: tuple[int, threading.Event], tmp_path: Path
) -> None:
    disk = write_disk(tmp_path / "disk", 64, ("bios", 1, 1), ("state", 2, 8), ("root", 10, 50), fill="old")
    before = disk.read_bytes()[2 * MIB : 10 * MIB]
    raw = write_disk(tmp_path / "image", 32, *SYSTEM, fill="new")
    done = deploy(order(qcow2(raw), tgt(disk), told[0], keep="state"), REQUEST, tmp_path, Initiator(tmp_path))
    assert done.kept == ("state",)
    assert disk.read_bytes()[2 * MIB : 10 * MIB] == before
    assert at(disk, 10, 8) == b"root new"
    no_fault(disk)


def test_chap_lets_in_who_knows_the_password_and_nobody_else(
    tgt: Callable[..., Machine], told: tuple[int, threading.Event], tmp_path: Path
) -> None:
    raw = write_disk(tmp_path / "image", 32, *SYSTEM)
    disk = write_disk(tmp_path / "disk", 40)
    machine = tgt(disk, login=("anna", "twelve,chars"))
    without = Target(portal=machine.target.portal, iqn=IQN)
    with pytest.raises(DeploymentFailed, match="log in"):
        Initiator(tmp_path).size(without)
    deploy(order(raw, machine, told[0]), REQUEST, tmp_path, Initiator(tmp_path))
    assert at(disk, 10, 5) == b"root "


def test_a_disk_that_is_too_small_is_left_as_it_was(
    tgt: Callable[..., Machine], told: tuple[int, threading.Event], tmp_path: Path
) -> None:
    raw = write_disk(tmp_path / "image", 32, *SYSTEM)
    disk = write_disk(tmp_path / "disk", 16, ("old", 1, 8))
    before = disk.read_bytes()
    with pytest.raises(DeploymentFailed, match="needs a disk of"):
        deploy(order(raw, tgt(disk), told[0]), REQUEST, tmp_path, Initiator(tmp_path))
    assert disk.read_bytes() == before
    assert not told[1].is_set()


def test_a_deployment_that_is_broken_off_leaves_no_table_on_the_disk(
    tgt: Callable[..., Machine], told: tuple[int, threading.Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_disk(tmp_path / "image", 32, *SYSTEM)
    disk = write_disk(tmp_path / "disk", 64, ("old", 1, 50))
    initiator = Initiator(tmp_path)
    copy = initiator.copy

    def broken(*words: object, **more: object) -> None:
        initiator.stop()
        copy(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(initiator, "copy", broken)
    with pytest.raises(DeploymentFailed, match="stopping"):
        deploy(order(raw, tgt(disk), told[0]), REQUEST, tmp_path, initiator)
    assert not any(at(disk, 0, MIB))
    assert not told[1].is_set()


def test_a_machine_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    nobody = Target(portal=Endpoint(address="127.0.0.1", port=1), iqn=IQN)
    with pytest.raises(DeploymentFailed, match="could not log in to 127.0.0.1:1"):
        Initiator(tmp_path).size(nobody)


def test_a_machine_that_does_not_listen_for_the_end_is_named(tgt: Callable[..., Machine], tmp_path: Path) -> None:
    raw = write_disk(tmp_path / "image", 32, *SYSTEM)
    machine = tgt(write_disk(tmp_path / "disk", 40))
    with pytest.raises(DeploymentFailed, match="the image is on the disk, but") as error:
        deploy(order(raw, machine, 1), REQUEST, tmp_path, Initiator(tmp_path))
    assert error.value.reference == "not-told"
