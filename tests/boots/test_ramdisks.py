"""Boots of one ramdisk: a machine is looked at and exercised; and what happens where a step of it fails."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from boots_kit import images
from boots_kit.lab import Lab, lab_with
from boots_kit.metal import boot_server, empty_disk, run_ramdisk
from imagewright.boot.disks import Disk
from imagewright.boot.machine import MAC_ADDRESS, Machine
from imagewright.types import MIB

FLAVOURS = ("hwdiscovery", "hwburnin")
MEMORY = 768
SIZE = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The ramdisk with both flavours, and what runs it."""

    lab: Lab
    folder: Path

    def machine(self, disks: tuple[Disk, ...], arguments: str) -> Machine:
        """A machine that starts the ramdisk, and is off when that would start it again."""
        return Machine(
            memory=MEMORY,
            disks=disks,
            kernel=self.folder / "check.kernel",
            initrd=self.folder / "check.ramdisk",
            kernel_arguments=f"console=ttyS0 init_timeout=1 {arguments}",
            extra=("-no-reboot",),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a machine left: its console, what the boot server kept, and its disks."""

    console: str
    inventories: list[Any]
    reports: list[Any]
    blank: Path
    full: Path
    digest: str  # of the disk that was full, before


def make(folder: Path) -> None:
    command = Path(sys.executable).parent / "ramdisk-image-create"
    argv = (command, "--progress", "plain", "-o", folder / "check.ramdisk", *FLAVOURS)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}\nended with {done.returncode}:\n{done.stderr[-6000:]}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    try:
        folder = images.kept(images.digest("check-ramdisk"), make)
    except RuntimeError as error:
        pytest.fail(str(error))
    # No image takes part; the lab wants one for the sizes of its disks.
    return Bench(lab=lab_with(lambda: empty_disk(tmp_path_factory.mktemp("none") / "none.raw", MIB)), folder=folder)


@pytest.fixture(scope="module")
def seen(bench: Bench, folder: Callable[[str], Path]) -> Seen:
    """The boot in which all is well: a blank virtio disk and an NVMe disk that holds data."""
    where = folder("check")
    blank, full = empty_disk(where / "blank.raw", SIZE), where / "full.raw"
    full.write_bytes(b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(SIZE // 32)))
    digest = digest_of(full)
    disks = (
        Disk(path=blank, format="raw", keep=True),
        Disk(path=full, format="raw", bus="nvme", keep=True),
    )
    with boot_server(where) as server:
        machine = bench.machine(disks, f"ip=dhcp burnin_time=20 boot_server_url={server.url}")
        console = run_ramdisk(bench.lab, machine, where, "imagewright: reboot")
        return Seen(
            console=console,
            inventories=server.reports("inventory"),
            reports=server.reports(),
            blank=blank,
            full=full,
            digest=digest,
        )


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def document(console: str, name: str) -> Any:
    """The document between its markers."""
    text = console.partition(f"-----BEGIN IMAGEWRIGHT {name}-----\n")[2]
    assert text, console[-4000:]
    return json.loads(text.partition(f"-----END IMAGEWRIGHT {name}-----")[0])


def schema(flavour: str, name: str) -> Any:
    """A schema as the pack publishes it."""
    return json.loads((resources.files("imagewright_flavours_ramdisks") / flavour / f"{name}.schema.json").read_text())


def test_flavours_run_in_the_order_in_which_they_were_named(seen: Seen) -> None:
    order = [seen.console.index(f"imagewright: {flavour}: starts") for flavour in FLAVOURS]
    assert order == sorted(order)
    assert "imagewright: all done" in seen.console


def test_the_inventory_is_valid_and_the_same_on_the_console_and_at_the_boot_server(seen: Seen) -> None:
    (inventory,) = seen.inventories
    jsonschema.validate(inventory, schema("hwdiscovery", "inventory"))
    assert document(seen.console, "INVENTORY") == inventory


def test_the_inventory_is_that_of_the_machine(seen: Seen) -> None:
    (inventory,) = seen.inventories
    disks = {disk["name"]: disk for disk in inventory["disks"]}
    assert disks["vda"]["bytes"] == disks["nvme0n1"]["bytes"] == SIZE
    assert disks["nvme0n1"]["serial"] == "disk1"
    assert inventory["processors"]["threads"] == 2
    assert MEMORY * MIB * 0.7 < inventory["memory"]["bytes"] <= MEMORY * MIB
    assert [module["bytes"] for module in inventory["memory"]["modules"]] == [MEMORY * MIB]
    (card,) = inventory["network"]
    assert (card["mac"], card["driver"], card["link"]) == (MAC_ADDRESS, "virtio_net", True)
    assert card["pci"] in {device["address"] for device in inventory["pci"]}
    assert inventory["firmware"]["type"] == "bios"
    assert inventory["system"]["vendor"] == "QEMU"


def test_burn_in_passes_and_says_so_to_the_boot_server(seen: Seen) -> None:
    result = next(report for report in seen.reports if report["kind"] == "burn-in")
    jsonschema.validate(result, schema("hwburnin", "burn-in"))
    assert document(seen.console, "BURN-IN") == result
    assert result["passed"] is True
    assert result["memory"]["bytes"] > MEMORY * MIB // 3
    assert result["memory"]["failures"] == 0
    assert {disk["name"]: disk["use"] for disk in result["disks"]} == {"vda": "blank", "nvme0n1": "only-read"}
    assert all(disk["read_bytes"] > 0 for disk in result["disks"])
    assert seen.reports[-1]["state"] == "done"


def test_the_disk_that_held_data_holds_it_and_the_blank_one_is_blank_again(seen: Seen) -> None:
    result = next(report for report in seen.reports if report["kind"] == "burn-in")
    assert {disk["name"]: disk["written_bytes"] > 0 for disk in result["disks"]} == {"vda": True, "nvme0n1": False}
    assert digest_of(seen.full) == seen.digest
    assert seen.blank.read_bytes() == bytes(SIZE)


def test_a_step_that_fails_is_named_reported_and_ends_the_work(bench: Bench, folder: Callable[[str], Path]) -> None:
    where = folder("fails")
    with boot_server(where) as server:
        nobody = "inventory_url=http://10.0.2.2:9/inventory"
        machine = bench.machine((), f"ip=10.0.2.15:10.0.2.2::255.255.255.0 boot_server_url={server.url} {nobody}")
        console = run_ramdisk(bench.lab, machine, where, "imagewright: reboot")
        report = server.last_report()
    why = "http://10.0.2.2:9/inventory did not take the document"
    assert f"imagewright: hwdiscovery: FAILED: {why}" in console
    assert "imagewright: hwdiscovery: the machine starts again in 1 seconds" in console
    assert "hwburnin: starts" not in console
    assert (report["state"], report["flavour"], report["message"]) == ("failed", "hwdiscovery", why)
    assert report["machine"]["mac"] == MAC_ADDRESS
