from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from imagewright.boot.accelerator import TCG
from imagewright.boot.disks import Bus, Disk
from imagewright.boot.firmware import Uefi, find_uefi
from imagewright.boot.instance import Instance
from imagewright.boot.machine import Folder, Machine, Network, argv
from imagewright.boot.metadata import MetadataService
from imagewright.errors import HostError

FOLDER = Folder(path=Path("/m,1"))
UEFI = Uefi(code=Path("/fw/code.fd"), variables=Path("/fw/vars.fd"))


def options(machine: Machine, name: str, **more: object) -> list[str]:
    words = argv(machine, FOLDER, TCG, **more)  # type: ignore[arg-type]
    return [value for option, value in itertools.pairwise(words) if option == f"-{name}"]


def disk(bus: Bus = "virtio", *, keep: bool = False) -> Disk:
    return Disk(path=Path("/i,mage.qcow2"), format="qcow2", bus=bus, keep=keep)


def test_the_image_is_written_to_only_when_asked() -> None:
    (drive,) = options(Machine(disks=(disk(),)), "drive")
    assert "snapshot=on" in drive.split(",")
    (drive,) = options(Machine(disks=(disk(keep=True),)), "drive")
    assert "snapshot=off" in drive.split(",")


def test_commas_in_paths_are_doubled() -> None:
    (drive,) = options(Machine(disks=(disk(),)), "drive")
    assert drive.endswith("file=/i,,mage.qcow2")
    assert any("path=/m,,1/console.log" in value for value in options(Machine(), "chardev"))


@pytest.mark.parametrize(
    ("bus", "device"),
    [
        ("virtio", "virtio-blk-pci,drive=disk0,bootindex=1"),
        ("ahci", "ide-hd,bus=disk0-ahci.0,drive=disk0,bootindex=1"),
        ("nvme", "nvme,serial=disk0,drive=disk0,bootindex=1"),
    ],
)
def test_a_disk_hangs_on_its_bus(bus: Bus, device: str) -> None:
    assert device in options(Machine(disks=(disk(bus),)), "device")


def test_the_first_disk_is_booted_from_and_seeds_are_not() -> None:
    devices = options(Machine(disks=(disk(), disk("nvme")), seeds=(Path("/seed.iso"),)), "device")
    assert [value for value in devices if "bootindex=1" in value] == ["virtio-blk-pci,drive=disk0,bootindex=1"]
    assert "virtio-blk-pci,drive=seed0" in devices
    assert "readonly=on" in options(Machine(seeds=(Path("/seed.iso"),)), "drive")[0]


def test_bios_is_the_plain_machine_and_uefi_has_its_own_variables() -> None:
    assert options(Machine(), "machine") == ["pc"]
    machine = Machine(firmware="uefi")
    assert options(machine, "machine", uefi=UEFI) == ["q35"]
    code, variables = options(machine, "drive", uefi=UEFI)
    assert "readonly=on" in code
    assert code.endswith("file=/fw/code.fd")
    assert variables.endswith("file=/m,,1/uefi-variables.fd")


def test_uefi_without_firmware_is_refused() -> None:
    with pytest.raises(ValueError, match="firmware"):
        argv(Machine(firmware="uefi"), FOLDER, TCG)


def test_ssh_is_forwarded_from_this_host_alone() -> None:
    (netdev,) = options(Machine(), "netdev")
    assert "hostfwd=tcp:127.0.0.1:0-:22" in netdev.split(",")
    assert "restrict=on" not in netdev


def test_more_ports_are_forwarded_from_free_ones() -> None:
    (netdev,) = options(Machine(network=Network(ports=(3260, 10000))), "netdev")
    forwards = [word for word in netdev.split(",") if word.startswith("hostfwd=")]
    assert forwards == [f"hostfwd=tcp:127.0.0.1:0-:{port}" for port in (22, 3260, 10000)]


def test_a_machine_with_a_boot_file_starts_from_the_network_before_its_disks() -> None:
    machine = Machine(disks=(disk(),), network=Network(tftp=Path("/tf,tp"), boot_file="boot.ipxe"))
    (netdev,) = options(machine, "netdev")
    assert "tftp=/tf,,tp,bootfile=boot.ipxe" in netdev
    (card,) = [value for value in options(machine, "device") if "netdev=" in value]
    assert card.endswith("bootindex=0")
    (card,) = [value for value in options(Machine(), "device") if "netdev=" in value]
    assert card.endswith("romfile=")


def test_a_machine_without_network_has_no_card() -> None:
    assert options(Machine(network=None), "netdev") == []
    assert not any("net" in value for value in options(Machine(network=None), "device"))


def test_the_metadata_service_lies_within_the_network_and_the_bios_tells_of_it() -> None:
    service = MetadataService(instance=Instance(id="i-1"))
    machine = Machine(network=Network(metadata=service, restricted=True))
    (netdev,) = options(machine, "netdev")
    assert "net=169.254.169.0/24" in netdev
    assert "restrict=on" in netdev
    assert "guestfwd=tcp:169.254.169.254:80-cmd:" in netdev
    assert " /m,,1/metadata.json " in netdev
    (smbios,) = options(machine, "smbios")
    assert smbios.startswith("type=1,uuid=ec2")
    (smbios,) = options(
        Machine(network=Network(metadata=MetadataService(instance=Instance(id="i-1"), layout="openstack"))), "smbios"
    )
    assert "OpenStack Nova" in smbios


def test_a_kernel_can_be_started_directly() -> None:
    machine = Machine(kernel=Path("/vmlinuz"), initrd=Path("/initrd"), kernel_arguments="console=ttyS0 quiet")
    words = argv(machine, FOLDER, TCG)
    assert words[words.index("-kernel") + 1] == "/vmlinuz"
    assert words[words.index("-initrd") + 1] == "/initrd"
    assert words[words.index("-append") + 1] == "console=ttyS0 quiet"
    assert "-kernel" not in argv(Machine(), FOLDER, TCG)


def test_extra_words_come_last() -> None:
    assert argv(Machine(extra=("-device", "pvpanic")), FOLDER, TCG)[-2:] == ("-device", "pvpanic")


def test_firmware_is_found_as_a_pair(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/OVMF"
    folder.mkdir(parents=True)
    (folder / "OVMF_CODE_4M.fd").touch()  # without its variables
    (folder / "OVMF_CODE.fd").touch()
    (folder / "OVMF_VARS.fd").touch()
    found = find_uefi(tmp_path)
    assert (found.code.name, found.variables.name) == ("OVMF_CODE.fd", "OVMF_VARS.fd")


def test_missing_firmware_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="OVMF") as caught:
        find_uefi(tmp_path)
    assert "ovmf" in caught.value.hint
