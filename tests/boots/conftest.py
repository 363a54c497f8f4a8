"""The shared image, and the lives of machines that several tests look at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.boot.disks import Disk
from imagewright.boot.errors import BootFailed
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.machine import MAC_ADDRESS, Machine
from imagewright.boot.running import RunningMachine
from imagewright.boot.seeds import write_config_drive, write_nocloud
from imagewright.boot.ssh import KeyPair, Login, host_keys, make_key

sys.path.insert(0, str(Path(__file__).parent))

from boots_kit import images, observing
from boots_kit.lab import Copy, Lab, Life, lab_with
from boots_kit.lives import common_folder, once

HERE = Path(__file__).parent
# The initramfs holds what this machine needs alone: in emulation the whole one takes ten minutes, and it is the boot
# loader's choice that is tried.
INSTALL_KERNEL = """
set -eu
echo MODULES=dep | sudo tee /etc/initramfs-tools/conf.d/zz-this-machine >/dev/null
export DEBIAN_FRONTEND=noninteractive
sudo -E apt-get -q update
sudo -E apt-get -q -y install --no-install-recommends linux-image-cloud-amd64 </dev/null
ls /boot
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.boot)
            # A test's time holds that of the machine it waits for, and the first one's that of the image.
            item.add_marker(pytest.mark.timeout(5400))


@pytest.fixture(scope="session")
def lab() -> Lab:
    return lab_with(images.build)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A new folder of a given name."""
    return lambda name: tmp_path_factory.mktemp(name)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return common_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def first_copy(lab: Lab, common: Path) -> Copy:
    return once(common, "first-copy", lambda where: Copy(disk=lab.disk(where), key=make_key(where, "first")))


@pytest.fixture(scope="session")
def first_life(lab: Lab, first_copy: Copy, common: Path) -> Life:
    """Boot 1, which tests of several files look at."""
    return once(common, "boot-1", lambda where: _live_first(lab, first_copy, where))


def _live_first(lab: Lab, first_copy: Copy, where: Path) -> Life:
    instance = Instance(id=new_instance_id(), hostname="fails-once", public_keys=(first_copy.key.public,))
    machine = Machine(
        disks=(Disk(path=first_copy.disk, format="qcow2", keep=True),),
        seeds=(write_nocloud(where / "seed.iso", instance),),
    )
    with lab.run(machine, where) as it:
        login = lab.log_in(it, first_copy.key)
        seconds = it.seconds
        seen = observing.observe(login, timeout=lab.patience)
        root = Login(port=it.ssh_port, user="root", key=first_copy.key.private)
        facts = {
            "login_seconds": seconds,
            "methods": login.methods(),
            "root_methods": root.methods(),
            "served_keys": host_keys(it.ssh_port),
        }
        it.shut_down(lab.patience)
        return Life(console=it.console, seen=seen, facts=facts)


@pytest.fixture(scope="session")
def second_life(lab: Lab, first_copy: Copy, first_life: Life, folder: Callable[[str], Path]) -> Life:
    """Boot 2."""
    where = folder("boot-2")
    key = make_key(where, "second")
    instance = Instance(id=new_instance_id(), hostname="second-life", public_keys=(key.public,))
    machine = Machine(
        disks=(Disk(path=first_copy.disk, format="qcow2", keep=True),),
        seeds=(write_nocloud(where / "seed.iso", instance),),
    )
    with lab.run(machine, where) as it:
        login = lab.log_in(it, key)
        seen = observing.observe(login, timeout=lab.patience)
        old = Login(port=it.ssh_port, user="debian", key=first_copy.key.private)
        return Life(console=it.console, seen=seen, facts={"old_key_refused": old.refuses()})


@pytest.fixture(scope="session")
def other_copy(lab: Lab, folder: Callable[[str], Path]) -> tuple[Life, Life | Exception]:
    """Boots 3 and 4: a copy of its own, and the same machine after a second kernel was installed in it.

    A failure in the second part is a value, so that the first one is judged all the same.
    """
    where = folder("boot-3")
    key = make_key(where)
    instance = Instance(id=new_instance_id(), hostname="other-copy", public_keys=(key.public,))
    machine = Machine(
        firmware="uefi",
        disks=(Disk(path=lab.disk(where), format="qcow2", bus="nvme", keep=True),),
        seeds=(write_config_drive(where / "drive.iso", instance, mac_address=MAC_ADDRESS),),
    )
    with lab.run(machine, where) as it:
        login = lab.log_in(it, key)
        before = Life(console=it.console, seen=observing.observe(login, timeout=lab.patience))
        try:
            return before, _with_another_kernel(lab, it, login, key)
        except (AssertionError, BootFailed) as error:
            return before, error


def _with_another_kernel(lab: Lab, machine: RunningMachine, login: Login, key: KeyPair) -> Life:
    done = login.run(INSTALL_KERNEL, timeout=4 * lab.patience)
    assert done.ok, f"{done.status}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    console = len(machine.console)
    login.run("sudo -n systemctl reboot", timeout=60)
    # the old kernel's last words may be lost, the next one's first are not
    machine.wait_for("Linux version ", lab.patience, after=console)
    login = lab.log_in(machine, key)
    seen = observing.observe(login, timeout=lab.patience)
    return Life(console=machine.console[console:], seen=seen, facts={"boot": done.stdout})
