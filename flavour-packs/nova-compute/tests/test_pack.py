"""What the pack promises: its packages, and nothing of the machine that built the image."""

from __future__ import annotations

import os
import subprocess
from importlib import resources
from pathlib import Path

from imagewright.testing.contract import PackContract
from imagewright.testing.kit import ImageKit

CLEANUP = "nova-compute/cleanup.d/50-nova-compute"


class TestContract(PackContract):
    flavours = ("nova-compute",)
    # nova is no package of the toy
    operating_system = "debian"


def test_the_initiator_that_volumes_need_comes_along(image_kit: ImageKit) -> None:
    plan = image_kit.plan("nova-compute", operating_system="debian")
    assert plan.flavour("iscsi-initiator") is not None
    assert {"nova-compute", "nova-compute-kvm", "open-iscsi"} <= set(plan.packages)


def test_what_names_one_machine_is_taken_out_of_the_tree(tmp_path: Path) -> None:
    files = {
        "etc/nova/nova.conf": "[DEFAULT]\nmy_ip = 192.0.2.7\nstate_path = /var/lib/nova\n",
        "etc/libvirt/qemu/networks/default.xml": "<network>\n  <uuid>1-2</uuid>\n  <name>default</name>\n</network>\n",
        "etc/nvme/hostid": "1-2\n",
        "etc/nvme/hostnqn": "nqn\n",
        "var/lib/nova/compute_id": "1-2\n",
        "var/lib/nova/.ssh/id_rsa": "key\n",
        "var/lib/nova/instances/README": "kept\n",
        "var/lib/libvirt/secrets/secret.xml": "<secret/>\n",
        "var/cache/debconf/config.dat": (
            "Name: nova/my-ip\nTemplate: nova/my-ip\nValue: 192.0.2.7\nOwners: nova-common\n\n"
            "Name: other/question\nValue: kept\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    script = resources.files("imagewright_flavours_nova_compute") / CLEANUP
    subprocess.run(["sh", str(script)], check=True, env={**os.environ, "TARGET_ROOT": str(tmp_path)})
    left = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "etc/nova/nova.conf": "[DEFAULT]\n#my_ip = <host_ipv4>\nstate_path = /var/lib/nova\n",
        "etc/libvirt/qemu/networks/default.xml": "<network>\n  <name>default</name>\n</network>\n",
        "var/lib/nova/instances/README": "kept\n",
        "var/cache/debconf/config.dat": (
            "Name: nova/my-ip\nTemplate: nova/my-ip\nOwners: nova-common\n\nName: other/question\nValue: kept\n"
        ),
    }
