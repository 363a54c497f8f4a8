"""Boot 5: a service at 169.254.169.254."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from boots_kit.lab import Lab, Life
from boots_kit.observing import observe
from imagewright.boot.disks import Disk, format_of
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.machine import Machine, Network
from imagewright.boot.metadata import MetadataService
from imagewright.boot.ssh import make_key


@pytest.fixture(scope="module")
def life(lab: Lab, folder: Callable[[str], Path]) -> Life:
    """Boot 5."""
    where = folder("boot-5")
    key = make_key(where)
    instance = Instance(id=new_instance_id(), hostname="served", public_keys=(key.public,))
    machine = Machine(
        disks=(Disk(path=lab.image, format=format_of(lab.image), bus="ahci"),),
        network=Network(metadata=MetadataService(instance=instance), restricted=True),
    )
    with lab.run(machine, where) as it:
        login = lab.log_in(it, key)
        seen = observe(login, timeout=lab.patience)
        return Life(console=it.console, seen=seen, facts={"requests": it.metadata_requests})


def test_the_services_key_logs_in(life: Life) -> None:
    assert life.seen["cloud"] == "aws"
    assert any(
        request.startswith("200 GET") and "public-keys/0/openssh-key" in request for request in life.facts["requests"]
    )


def test_the_name_is_the_services(life: Life) -> None:
    assert life.seen["hostname"] == "served"


def test_it_started_from_a_sata_disk(life: Life) -> None:
    assert life.seen["root_disk"].startswith("/dev/sda")
    assert not life.seen["uefi"]


def test_it_is_running_and_not_degraded_with_nothing_else_in_reach(life: Life) -> None:
    assert life.seen["state"] == "running", life.seen["why"]
