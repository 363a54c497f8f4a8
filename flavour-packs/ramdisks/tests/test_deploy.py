"""The deploy protocol, with the real tgtd in namespaces of its own; a boot does it over a real network."""

from __future__ import annotations

import subprocess
import urllib.parse
from pathlib import Path

import imagewright_flavours_ramdisks
import pytest
from imagewright.testing.initkit import STATIC

FRAGMENT = (Path(imagewright_flavours_ramdisks.__file__).parent / "deploy" / "init").read_text()
PROGRAMS = ("tgtd", "tgtadm")
LINE = f"{STATIC} deployment_id=42 deployment_key=se&cret iscsi_target_iqn=iqn.2012-11.org.example:disk"
# tgtd serves a plain file as well as a disk; /sys has to know it under its name.
DISK = """
mount -t tmpfs sys sys
mkdir -p sys/class/block/vda sys/class/net/veth0
echo 1 >sys/class/net/veth0/carrier
truncate -s 64M dev/vda
"""


def live(init_kit, line, **more):
    return init_kit.live({"deploy": FRAGMENT}, line, programs=PROGRAMS, setup=DISK, patience=120, **more)


def test_the_boot_server_gets_the_form_of_the_protocol_and_its_connection_ends_the_deployment(init_kit):
    watched = FRAGMENT.replace('say "waits for', 'tgtadm --lld iscsi --mode target --op show\nsay "waits for')
    assert watched != FRAGMENT
    life = init_kit.live(
        {"deploy": watched}, f"{LINE} disk=sda,vda", programs=PROGRAMS, setup=DISK, server="deploy", patience=120
    )
    assert "all done" in life.console, life.console
    request = next(post for post in life.posts if post["path"] == "/")
    assert request["type"] == "application/x-www-form-urlencoded"
    assert request["body"] == "i=42&k=se%26cret&a=10.9.0.2&n=iqn.2012-11.org.example:disk"
    assert urllib.parse.parse_qs(request["body"])["k"] == ["se&cret"]
    shown = life.console.partition("Target 1: iqn.2012-11.org.example:disk")[2]
    assert "LUN: 1" in shown
    assert "Backing store path: /dev/vda" in shown
    assert "67 MB" in shown
    assert "ALL" in shown.partition("ACL information:")[2]
    assert life.documents("/report")[-1]["state"] == "done"
    assert life.end == "reboot"


def qemu_img_speaks_iscsi() -> bool:
    done = subprocess.run(("qemu-img", "info", "iscsi://x"), capture_output=True, text=True, check=False)
    return "Unknown protocol" not in done.stderr


needs_an_initiator = pytest.mark.skipif(not qemu_img_speaks_iscsi(), reason="needs qemu-block-extra")
IMAGE = bytes(range(256)) * 4096
TARGET = "10.9.0.2/iqn.2012-11.org.example:disk/1"


def written(init_kit, line, initiator):
    """What an initiator said, and what the disk holds after the deployment."""
    (init_kit.folder / "image").write_bytes(IMAGE)
    disk = init_kit.folder / "disk"
    disk.write_bytes(bytes(len(IMAGE)))
    setup = DISK.replace("truncate -s 64M dev/vda", ': >dev/vda; mount --bind "$FOLDER/disk" dev/vda')
    life = init_kit.live(
        {"deploy": FRAGMENT}, line, programs=PROGRAMS, setup=setup, server="deploy", initiator=initiator, patience=120
    )
    assert "all done" in life.console, life.console
    return life, disk.read_bytes()


@needs_an_initiator
def test_what_an_initiator_writes_is_on_the_disk_when_the_deployment_ends(init_kit):
    write = f'qemu-img convert -n -f raw -O raw "$FOLDER/image" iscsi://{TARGET} && echo written'
    life, disk = written(init_kit, f"{LINE} disk=vda", write)
    assert life.initiator.endswith("written\n"), life.initiator
    assert disk == IMAGE


@needs_an_initiator
def test_with_chap_only_who_knows_name_and_password_writes(init_kit):
    write = 'qemu-img convert -n -f raw -O raw "$FOLDER/image" iscsi://'
    initiator = f"""
        {write}{TARGET} && echo nobody got in
        {write}writer%wrong-password@{TARGET} && echo a wrong password got in
        {write}writer%a-long-password@{TARGET} && echo the right password got in
    """
    line = f"{LINE} disk=vda iscsi_chap_user=writer iscsi_chap_password=a-long-password"
    life, disk = written(init_kit, line, initiator)
    assert [said for said in life.initiator.splitlines() if "got in" in said] == ["the right password got in"]
    assert disk == IMAGE
    assert "a-long-password" not in life.console


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ip=off disk=vda iscsi_target_iqn=iqn.x:y", "there is no boot server"),
        (f"{STATIC} disk=vda", "iscsi_target_iqn= is missing"),
        (f"{STATIC} iscsi_target_iqn=iqn.x:y", "disk= is missing on the kernel command line"),
    ],
)
def test_what_is_missing_on_the_command_line_is_named(init_kit, line, reason):
    life = live(init_kit, line)
    assert f"deploy: FAILED: {reason}" in life.console


def test_a_boot_server_that_refuses_ends_the_deployment_as_failed(init_kit):
    life = live(init_kit, f"{LINE} disk=vda", server="http", answer=403)
    assert "FAILED: the boot server http://10.9.0.1:10000 did not take the request" in life.console
    assert life.end == "reboot"


def test_a_boot_server_that_never_comes_back_does_not_hold_the_machine(init_kit):
    life = live(init_kit, f"{LINE} disk=vda deploy_timeout=1", server="http")
    assert "did not say within 1 seconds that the disk is written" in life.console
    assert life.documents("/report")[-1]["state"] == "failed"
