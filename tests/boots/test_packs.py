"""Boot 8: one image of all the packs, taken over by a Puppet server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from boots_kit import packs, puppet
from boots_kit.lab import Life, lab_with
from boots_kit.packs import CERTNAME, KEPT_DIRECTORY, WITHOUT_PROXY, PacksImage
from imagewright.boot.disks import Disk
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.machine import Machine
from imagewright.boot.seeds import write_nocloud
from imagewright.boot.ssh import Login, log_in
from imagewright.testing.trees import TarView

ADAPTERS = ("mlx4_core", "mlx4_en", "mlx4_ib", "mlx5_core", "mlx5_ib", "ib_ipoib")
MODULES = (*ADAPTERS, "imagewright_example")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """The life of the machine: its instance's id and what was seen."""

    instance: Instance
    life: Life


@pytest.fixture(scope="module")
def image() -> PacksImage:
    try:
        return packs.build()
    except RuntimeError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="module")
def tree(image: PacksImage) -> TarView:
    return TarView(image.archive)


@pytest.fixture(scope="module")
def taken(image: PacksImage, folder: Callable[[str], Path]) -> TakenOver:
    """Boot 8: metadata names a Puppet server on the host; whoever built the image logs in as `devuser`."""
    where = folder("boot-8")
    lab = lab_with(lambda: image.disk)
    with puppet.serving(puppet.build(), where / "puppet") as server:
        instance = Instance(id=new_instance_id(), hostname="packs", user_data=packs.user_data(server))
        machine = Machine(
            memory=2048,
            disks=(Disk(path=image.disk, format="qcow2"),),
            seeds=(write_nocloud(where / "seed.iso", instance),),
        )
        with lab.run(machine, where) as it:
            login = log_in(it, "debian", image.key.private, timeout=lab.patience)
            server.wait(lab.patience)
            seen = packs.observe(login, patience=lab.patience, modules=MODULES)
            developer = Login(port=it.ssh_port, user="devuser", key=image.key.private)
            facts = {
                "developer": developer.run("printenv no_proxy").stdout.strip(),
                "note": login.run(
                    f"echo kept | sudo -n tee {KEPT_DIRECTORY}/note; cat /state/data{KEPT_DIRECTORY}/note"
                ).stdout.split(),
                "server": server.log(),
            }
            return TakenOver(instance=instance, life=Life(console=it.console, seen=seen, facts=facts))


# -- the tree


def kernel_of(image: PacksImage) -> str:
    return str(image.manifest["kernel"])


def test_the_root_tree_has_the_modules_of_the_adapters(image: PacksImage, tree: TarView) -> None:
    below = tree.entries(f"usr/lib/modules/{kernel_of(image)}/kernel/drivers")
    found = {path.rpartition("/")[2].split(".")[0] for path in below}
    assert set(ADAPTERS) <= found


def test_the_module_is_built_for_the_kernel_of_the_image_and_what_built_it_is_gone(
    image: PacksImage, tree: TarView
) -> None:
    assert tree.listing(f"usr/lib/modules/{kernel_of(image)}/updates/dkms") == ("imagewright_example.ko.xz",)
    assert not tree.listing("usr/src")
    assert not tree.exists("var/lib/dkms")
    names = {package["name"] for package in image.manifest["packages"]}
    assert not [name for name in names if name in ("dkms", "gcc") or name.startswith("linux-headers")]


def test_nothing_of_a_machine_that_was_or_built_is_in_the_tree(tree: TarView) -> None:
    assert not [name for name in tree.listing("etc/ssh") if name.startswith("ssh_host_")]
    assert tree.read("etc/iscsi/initiatorname.iscsi") == "GenerateName=yes\n"
    assert not re.search(r"^my_ip", tree.read("etc/nova/nova.conf"), re.MULTILINE)
    answers = tree.read("var/cache/debconf/config.dat")
    assert "Value:" not in answers.partition("Name: nova/my-ip\n")[2].partition("\n\n")[0]
    for folder in ("var/lib/puppet", "var/lib/nova/.ssh", "var/lib/libvirt/secrets", "var/lib/swtpm-localca"):
        assert not [path for path in tree.entries(folder) if tree.get(path).kind == "file"], folder
    assert not [
        path for path in ("etc/nvme/hostid", "etc/nvme/hostnqn", "var/lib/nova/compute_id") if tree.exists(path)
    ]
    networks = [path for path in tree.entries("etc/libvirt") if path.endswith(".xml")]
    assert networks
    assert not [path for path in networks if "<uuid>" in tree.read(path)]


@pytest.mark.parametrize("service", ["nova-compute", "puppet"])
def test_services_that_need_their_configuration_first_are_not_enabled(tree: TarView, service: str) -> None:
    assert tree.exists(f"usr/lib/systemd/system/{service}.service")
    wants = [path for path in tree.entries("etc/systemd/system") if path.endswith(f"/{service}.service")]
    assert not wants


def test_no_service_of_the_packages_started_in_the_build(tree: TarView) -> None:
    # what they would have written
    for path in ("var/log/nova/nova-compute.log", "var/log/libvirt/qemu", "var/lib/puppet/state/state.yaml"):
        node = tree.find(path)
        assert node is None or node.kind == "folder" or node.size == 0, path


# -- its life


def test_with_all_packs_the_machine_is_running_and_not_degraded(taken: TakenOver) -> None:
    seen = taken.life.seen
    assert seen["state"] == "running", seen["why"]


def test_the_adapters_modules_are_in_the_initramfs_and_loaded_at_boot(taken: TakenOver) -> None:
    assert set(ADAPTERS) <= set(taken.life.seen["initramfs"])
    assert set(ADAPTERS) <= set(taken.life.seen["modules"])
    assert {name: taken.life.seen["loaded"][name] for name in ADAPTERS} == dict.fromkeys(ADAPTERS, 0)


def test_the_module_built_by_dkms_loads_into_the_running_kernel(taken: TakenOver) -> None:
    seen = taken.life.seen
    assert seen["module_file"].endswith("/updates/dkms/imagewright_example.ko.xz")
    assert seen["module_magic"].startswith(f"{seen['kernel']} ")
    assert seen["loaded"]["imagewright_example"] == 0
    assert seen["greeting"] == "built for this kernel"
    assert [line for line in seen["kernel_log"] if line.endswith("imagewright_example: built for this kernel")]


def test_vlans_and_the_initiator_work_and_the_initiator_has_a_name_of_its_own(taken: TakenOver) -> None:
    seen = taken.life.seen
    assert seen["vlan"] == 0
    assert "iscsiadm version" in seen["iscsiadm"]
    assert re.fullmatch(r"InitiatorName=iqn\.\S+", seen["initiator"].splitlines()[-1]), seen["initiator"]


def test_the_callers_key_opens_both_accounts_and_the_callers_proxy_settings_are_everywhere(taken: TakenOver) -> None:
    # the login of boot 8 itself was the one of the account debian
    assert WITHOUT_PROXY in taken.life.facts["developer"]
    assert WITHOUT_PROXY in taken.life.seen["login_environment"]
    assert f'Acquire::http::Proxy::{WITHOUT_PROXY} "DIRECT";' in taken.life.seen["proxies_of_apt"]


def test_host_keys_are_made_on_the_persistent_partition(taken: TakenOver) -> None:
    seen = taken.life.seen
    assert seen["state_mount"] == ["ext4", "state"]
    assert seen["host_keys"]
    assert seen["kept_keys"] == seen["host_keys"]


def test_what_is_written_to_a_kept_folder_is_on_the_persistent_partition(taken: TakenOver) -> None:
    assert taken.life.facts["note"] == ["kept", "kept"]


def test_the_server_of_the_metadata_takes_the_machine_over(taken: TakenOver) -> None:
    seen = taken.life.seen
    certname = CERTNAME.format(instance=taken.instance.id)
    assert seen["taken_over"] == f"{certname} {seen['kernel']}", seen["agent_log"] + taken.life.facts["server"][-3000:]
    assert seen["agent"] == "active"


def test_nova_waits_for_its_configuration(taken: TakenOver) -> None:
    assert taken.life.seen["nova"] == "disabled"
