"""The inventory of a machine whose /sys and /proc the test wrote, as the kernel lays them out."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import imagewright_flavours_ramdisks
import jsonschema
import pytest
from imagewright.testing.initkit import STATIC

FOLDER = Path(imagewright_flavours_ramdisks.__file__).parent / "hwdiscovery"
FRAGMENT = (FOLDER / "init").read_text()
SCHEMA = json.loads((FOLDER / "inventory.schema.json").read_text())
GIB = 2**30
MACHINE = 'mount --bind "$FOLDER/sys" sys; mount --bind "$FOLDER/cpuinfo" proc/cpuinfo'

CPUINFO = "".join(
    f"processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: A: processor\nphysical id\t: {number // 4}\n"
    f"core id\t\t: {number % 4 // 2}\nflags\t\t: fpu vmx\n\n"
    for number in range(8)
)


def structure(kind: int, body: bytes, *strings: str) -> bytes:
    texts = b"".join(text.encode() + b"\0" for text in strings) or b"\0"
    return bytes([kind, 4 + len(body), 0, 0]) + body + texts + b"\0"


def dimm(units: int, extended: int = 0) -> bytes:
    body = bytearray(0x28 - 4)
    struct.pack_into("<H", body, 0x0C - 4, units)
    struct.pack_into("<H", body, 0x15 - 4, 3200)
    struct.pack_into("<I", body, 0x1C - 4, extended)
    body[0x10 - 4], body[0x17 - 4], body[0x18 - 4], body[0x1A - 4] = 1, 2, 3, 4
    return structure(17, bytes(body), "DIMM A1", 'Maker "x"', "  5E41A  ", "PART-1")


class Machine:
    def __init__(self, folder: Path) -> None:
        self.sys = folder / "sys"
        self.write("class/net/lo/address", "00:00:00:00:00:00")
        (folder / "cpuinfo").write_text(CPUINFO)

    def write(self, path: str, content: str | bytes) -> None:
        where = self.sys / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")

    def link(self, path: str, target: str) -> None:
        where = self.sys / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.symlink_to(target)


@pytest.fixture
def machine(init_kit):
    return Machine(init_kit.folder)


@pytest.fixture
def discover(init_kit):
    def found(line: str = "ip=off", fragment: str = FRAGMENT, **more):
        life = init_kit.live({"hwdiscovery": fragment}, line, setup=MACHINE, **more)
        text = life.console.partition("-----BEGIN IMAGEWRIGHT INVENTORY-----\n")[2]
        assert text, life.console
        told = json.loads(text.partition("-----END IMAGEWRIGHT INVENTORY-----")[0])
        jsonschema.validate(told, SCHEMA)
        return life, told

    return found


def test_the_schema_is_one(machine):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_machine_that_tells_nothing_has_a_valid_inventory(machine, discover):
    life, told = discover()
    assert told["firmware"] == {"type": "bios"}
    assert (told["disks"], told["network"], told["pci"], told["memory"]["modules"]) == ([], [], [], [])
    assert "system" not in told
    assert "all done" in life.console


def test_processors_are_counted_by_sockets_cores_and_threads(machine, discover):
    told = discover()[1]["processors"]
    assert (told["sockets"], told["cores"], told["threads"]) == (2, 4, 8)
    assert (told["vendor"], told["model"], told["flags"]) == ("GenuineIntel", "A: processor", ["fpu", "vmx"])


def test_memory_modules_come_from_the_firmwares_table(machine, discover):
    table = structure(0, bytes(20), "firmware") + dimm(0) + dimm(16384) + dimm(0x7FFF, 65536) + dimm(0x8400)
    machine.write("firmware/dmi/tables/DMI", table + structure(2, bytes(4)) + dimm(1024) + structure(127, b""))
    modules = discover()[1]["memory"]["modules"]
    assert [module["bytes"] for module in modules] == [16 * GIB, 64 * GIB, 2**20, GIB]
    assert modules[0] == {
        "locator": "DIMM A1",
        "bytes": 16 * GIB,
        "speed_mts": 3200,
        "vendor": 'Maker "x"',
        "serial": "5E41A",
        "part": "PART-1",
    }


@pytest.mark.parametrize("table", [b"", b"\x11", b"\x11\x00\x00\x00", dimm(1024)[:9], b"\x11\xff" + b"\x01" * 40])
def test_a_broken_table_ends_no_inventory(machine, discover, table):
    machine.write("firmware/dmi/tables/DMI", table)
    assert isinstance(discover()[1]["memory"]["modules"], list)


def test_firmware_and_system_are_those_of_dmi_whatever_bytes_are_in_them(machine, discover):
    machine.write("firmware/efi/fw_platform_size", "64")
    machine.write("firmware/efi/efivars/SecureBoot-8be4df61-93ca", b"\6\0\0\0\1")
    for name, value in (("bios_version", "1.2"), ("sys_vendor", 'He said "no"\\'), ("chassis_type", "23")):
        machine.write(f"class/dmi/id/{name}", value)
    machine.write("class/dmi/id/product_name", b"caf\xe9 \x1b[2J$(reboot)\n")
    told = discover()[1]
    assert told["firmware"] == {"type": "uefi", "bits": 64, "secure_boot": True, "version": "1.2"}
    assert told["system"]["vendor"] == 'He said "no"\\'
    assert told["system"]["product"] == "caf\ufffd \x1b[2J$(reboot)"
    assert told["system"]["chassis"]["type"] == 23


def test_disks_have_sizes_serials_and_partitions(machine, discover):
    for name in ("sda", "nvme0n1", "loop0"):
        machine.write(f"class/block/{name}/size", "2048")
        machine.write(f"class/block/{name}/ro", "0")
        machine.write(f"class/block/{name}/removable", "0")
    machine.write("class/block/sda/device/model", "QEMU HARDDISK   ")
    machine.write("class/block/sda/device/vpd_pg80", b"\0\x80\0\x08  ABC123")
    machine.write("class/block/sda/device/wwid", "naa.5000")
    machine.write("class/block/sda/queue/rotational", "1")
    machine.write("class/block/sda/queue/logical_block_size", "512")
    machine.write("class/block/sda/sda1/partition", "1")
    machine.write("class/block/sda/sda1/size", "1024")
    machine.write("class/block/sda1/partition", "1")
    machine.write("class/block/nvme0n1/device/serial", "S4   ")
    nvme, sda = discover()[1]["disks"]
    assert (nvme["name"], nvme["serial"], nvme["partitions"]) == ("nvme0n1", "S4", [])
    assert sda == {
        "name": "sda",
        "bytes": 2**20,
        "logical_block_bytes": 512,
        "rotational": True,
        "removable": False,
        "read_only": False,
        "model": "QEMU HARDDISK",
        "serial": "ABC123",
        "wwn": "naa.5000",
        "partitions": [{"name": "sda1", "number": 1, "bytes": 2**19}],
    }


def test_network_cards_are_tied_to_their_pci_devices(machine, discover):
    machine.write("devices/pci0000:00/0000:00:03.0/vendor", "0x8086")
    machine.write("devices/pci0000:00/0000:00:03.0/device", "0x100e")
    machine.write("devices/pci0000:00/0000:00:03.0/class", "0x020000")
    machine.link("devices/pci0000:00/0000:00:03.0/driver", "../../../bus/pci/drivers/e1000")
    machine.link("bus/pci/devices/0000:00:03.0", "../../../devices/pci0000:00/0000:00:03.0")
    machine.link("class/net/eth0/device", "../../../devices/pci0000:00/0000:00:03.0")
    for name, value in (("address", "52:54:00:12:34:56"), ("carrier", "1"), ("speed", "1000"), ("mtu", "1500")):
        machine.write(f"class/net/eth0/{name}", value)
    told = discover()[1]
    assert told["network"] == [
        {
            "name": "eth0",
            "mac": "52:54:00:12:34:56",
            "driver": "e1000",
            "link": True,
            "speed_mbps": 1000,
            "mtu": 1500,
            "pci": "0000:00:03.0",
        }
    ]
    assert told["pci"] == [
        {"address": "0000:00:03.0", "class": "020000", "vendor": "8086", "device": "100e", "driver": "e1000"}
    ]


def test_the_inventory_is_posted_to_the_boot_server_or_where_the_command_line_says(machine, init_kit, discover):
    machine.write("class/net/veth0/carrier", "1")
    life, told = discover(STATIC, server="http")
    assert life.documents("/inventory") == [told]
    assert told["machine"] == {"address": "10.9.0.2"}
    life, told = discover(f"{STATIC} inventory_url=http://10.9.0.1:10000/elsewhere", server="http")
    assert life.documents("/elsewhere") == [told]


def test_an_inventory_service_that_was_named_has_to_take_it(machine, discover):
    machine.write("class/net/veth0/carrier", "1")
    life, _ = discover(f"{STATIC} inventory_url=http://10.9.0.1:10000/x", server="http", answer=500)
    assert "hwdiscovery: FAILED: http://10.9.0.1:10000/x did not take the document" in life.console


def test_a_boot_server_that_takes_no_inventory_is_no_failure(machine, discover):
    machine.write("class/net/veth0/carrier", "1")
    life, _ = discover(STATIC, server="http", answer=404)
    assert "http://10.9.0.1:10000/inventory did not take the document" in life.console
    assert "all done" in life.console
