"""Disks and partitions by /sys as the kernel lays it out, and by the kernel's rules for names."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("vda", "/dev/vda"),
        ("/dev/vda", "/dev/vda"),
        ("sda,vda,nvme0n1", "/dev/vda"),
        (",nvme0n1", "/dev/nvme0n1"),
        ("cciss/c0d0", "/dev/cciss/c0d0"),
        ("disk/by-id/serial", "/dev/nvme0n1"),
        ("/dev/disk/by-id/nowhere,/dev/disk/by-id/serial", "/dev/nvme0n1"),
    ],
)
def test_the_first_disk_of_a_list_that_is_there_is_found(shell, wanted, found):
    for name in ("vda", "nvme0n1", "cciss!c0d0"):
        shell.disk(name)
    shell.file("dev/nvme0n1")
    links = shell.root / "dev/disk/by-id"
    links.mkdir(parents=True)
    (links / "serial").symlink_to("../../nvme0n1")
    (links / "nowhere").symlink_to("../../sdq")
    assert shell.ask('find_disk "$LIST"', LIST=wanted) == found


@pytest.mark.parametrize("wanted", ["", ",", "sda", "/dev/", "../../etc", "*", "vd?", "$(touch injected)"])
def test_a_list_of_which_nothing_is_there_has_status_1(shell, wanted):
    shell.disk("vda")
    ran = shell.run('find_disk "$LIST"', variables={"LIST": wanted})
    assert (ran.status, ran.output) == (1, "")
    assert not (shell.root / "injected").exists()


def test_a_disk_that_comes_late_is_waited_for(shell):
    shell.disk("vda")
    script = """
        mv "$INIT_SYS/class/block/vda" "$INIT_SYS/vda"
        (sleep 1; mv "$INIT_SYS/vda" "$INIT_SYS/class/block/vda") &
        wait_for_disk sda,vda 5
    """
    assert shell.ask(script) == "/dev/vda"


def test_the_wait_for_a_disk_ends(shell):
    assert shell.run("wait_for_disk sda 1").status == 1


NAMES = [
    ("sda", "sda3", 3),
    ("vdb", "vdb12", 12),
    ("sdaa", "sdaa1", 1),
    ("xvda", "xvda2", 2),
    ("nvme0n1", "nvme0n1p1", 1),
    ("nvme10n2", "nvme10n2p15", 15),
    ("mmcblk0", "mmcblk0p2", 2),
    ("loop0", "loop0p1", 1),
    ("nbd3", "nbd3p4", 4),
    ("md127", "md127p1", 1),
    ("cciss/c0d0", "cciss/c0d0p1", 1),
]


@pytest.mark.parametrize(("disk", "partition", "number"), NAMES)
@pytest.mark.parametrize("folder", ["", "/dev/"])
def test_a_partition_has_the_name_that_the_kernel_gives_it(shell, folder, disk, partition, number):
    assert shell.ask(f"partition_name {folder}{disk} {number}") == f"{folder}{partition}"


@pytest.mark.parametrize(("disk", "partition", "number"), NAMES)
@pytest.mark.parametrize("folder", ["", "/dev/"])
def test_the_disk_of_a_partition_is_known_by_its_name_alone(shell, folder, disk, partition, number):
    assert shell.ask(f"whole_disk_name {folder}{partition}") == f"{folder}{disk}"
    assert shell.ask(f"whole_disk_name {folder}{disk}") == f"{folder}{disk}"


def test_the_disk_of_a_partition_that_is_there_is_what_the_kernel_says(shell):
    # a name by which nobody could tell
    shell.disk("strange1", ("strange1x2",))
    assert shell.ask("whole_disk_name /dev/strange1x2") == "/dev/strange1"
    assert shell.ask("whole_disk_name strange1") == "strange1"
    shell.disk("cciss!c0d0", ("cciss!c0d0p1",))
    assert shell.ask("whole_disk_name /dev/cciss/c0d0p1") == "/dev/cciss/c0d0"


def test_a_partition_exists_where_the_kernel_knows_it_as_one(shell):
    shell.disk("nvme0n1", ("nvme0n1p1",))
    assert shell.run("partition_exists /dev/nvme0n1p1").status == 0
    assert shell.run("partition_exists nvme0n1p1").status == 0
    for name in ("/dev/nvme0n1p2", "/dev/nvme0n1", "", "/dev/", "sda1"):
        assert shell.run(f"partition_exists '{name}'").status == 1, name


@pytest.fixture
def multipath(shell):
    shell.disk("dm-0", size="4096")
    shell.disk("dm-3", size="2048")
    devices = shell.root / "sys/devices/pci0/block"
    shell.file("sys/devices/pci0/block/dm-0/dm/uuid", "mpath-360014\n")
    shell.file("sys/devices/pci0/block/dm-3/dm/uuid", "part2-mpath-360014\n")
    for folder, name in (("dm-0/holders", "dm-3"), ("dm-3/slaves", "dm-0")):
        (devices / folder).mkdir()
        (devices / folder / name).symlink_to(devices / name)
    shell.file("dev/dm-0")
    shell.file("dev/dm-3")
    (shell.root / "dev/mapper").mkdir()
    (shell.root / "dev/mapper/mpatha").symlink_to("../dm-0")
    (shell.root / "dev/mapper/mpatha-part2").symlink_to("../dm-3")
    return shell


def test_partitions_of_a_multipath_set_are_found_by_the_device_mapper(multipath):
    assert multipath.ask("partition_name /dev/dm-0 2") == "/dev/dm-3"
    assert multipath.ask("partition_name /dev/mapper/mpatha 2") == "/dev/mapper/mpatha-part2"
    assert multipath.ask("whole_disk_name /dev/dm-3") == "/dev/dm-0"
    assert multipath.run("partition_exists /dev/mapper/mpatha-part2").status == 0
    assert multipath.run("partition_exists /dev/mapper/mpatha").status == 1
    assert multipath.ask("find_disk mapper/mpatha") == "/dev/dm-0"


def test_whole_disks_are_those_that_a_machine_keeps_its_systems_on(multipath):
    multipath.disk("sda", ("sda1",))
    multipath.disk("nvme0n1")
    multipath.disk("sdb", removable="1")
    multipath.disk("sdc", size="0")
    multipath.disk("sr0")
    multipath.disk("loop0")
    multipath.disk("mmcblk0")
    multipath.disk("mmcblk0boot0")
    multipath.disk("md0")
    assert multipath.ask("whole_disks").split() == ["dm-0", "md0", "mmcblk0", "nvme0n1", "sda"]
