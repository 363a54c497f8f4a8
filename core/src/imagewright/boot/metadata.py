"""A metadata service at 169.254.169.254, in the layout of EC2 or of OpenStack.

EC2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
OpenStack: https://docs.openstack.org/nova/latest/user/metadata.html
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagewright.boot import metadata_process
from imagewright.boot.instance import Instance

ADDRESS = "169.254.169.254"

# cloud-init knows EC2 by a system UUID and serial number that begin with "ec2" (its ds-identify), and OpenStack by the
# name of the product; without these it asks no address at all.
_EC2_UUID = "ec2e1916-9099-7caf-fd21-012345abcdef"
_EC2_VERSIONS = ("2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataService:
    """The service for one instance."""

    instance: Instance
    layout: Literal["ec2", "openstack"] = "ec2"

    def answers(self) -> dict[str, str]:
        """Every path that the service knows, with its body."""
        if self.layout == "ec2":
            return ec2_answers(self.instance)
        return listed(
            {f"/openstack/{version}/{name}": text for version in ("2018-08-27", "latest")
             for name, text in openstack_files(self.instance).items()}
        )  # fmt: skip

    def smbios(self) -> str:
        """The value of ``-smbios`` by which the image knows where it runs."""
        if self.layout == "ec2":
            return f"type=1,uuid={_EC2_UUID},serial={_EC2_UUID}"
        return "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova"

    def network_options(self, answers: Path, log: Path) -> list[str]:
        """Options of ``-netdev user`` that put the service into the machine's network.

        The address has to lie within the network. The form ``cmd:`` starts a process for every connection; other
        forms take one connection only.
        """
        words = (sys.executable, "-I", "-S", metadata_process.__file__, str(answers), str(log))
        command = shlex.join(words).replace(",", ",,")
        return [
            "net=169.254.169.0/24",
            "host=169.254.169.2",
            "dns=169.254.169.3",
            "dhcpstart=169.254.169.15",
            f"guestfwd=tcp:{ADDRESS}:80-cmd:{command}",
        ]


def openstack_files(instance: Instance, *, mac_address: str = "") -> dict[str, str]:
    """The files below ``openstack/latest`` of a config drive and of the service.

    With ``mac_address`` there is a network_data.json for one card that is configured by DHCP.
    """
    meta_data = {
        "uuid": instance.id,
        "name": instance.hostname,
        "hostname": instance.hostname,
        "launch_index": 0,
        "availability_zone": "nova",
        "public_keys": {f"key{number}": key for number, key in enumerate(instance.public_keys)},
    }
    files = {"meta_data.json": json.dumps(meta_data, indent=1)}
    if instance.user_data:
        files["user_data"] = instance.user_data
    if mac_address:
        network_data = {
            "links": [{"id": "link0", "type": "phy", "ethernet_mac_address": mac_address, "mtu": 1500}],
            "networks": [{"id": "network0", "link": "link0", "type": "ipv4_dhcp"}],
            "services": [],
        }
        files["network_data.json"] = json.dumps(network_data, indent=1)
    return files


def ec2_answers(instance: Instance) -> dict[str, str]:
    """All paths of EC2's service, in every version of its interface that cloud-init asks for."""
    files = {
        "meta-data/instance-id": instance.id,
        "meta-data/local-hostname": instance.hostname,
        "meta-data/hostname": instance.hostname,
        "meta-data/placement/availability-zone": "xx-1a",
        "meta-data/placement/region": "xx-1",
        "dynamic/instance-identity/document": json.dumps({"instanceId": instance.id, "region": "xx-1"}),
    }
    for number, key in enumerate(instance.public_keys):
        files[f"meta-data/public-keys/{number}/openssh-key"] = key
    if instance.user_data:
        files["user-data"] = instance.user_data
    answers = listed({f"/{version}/{path}": text for version in _EC2_VERSIONS for path, text in files.items()})
    names = "\n".join(f"{number}=key{number}" for number in range(len(instance.public_keys)))
    for version in _EC2_VERSIONS:
        # The one folder whose list is not that of its entries: numbers with names.
        if names:
            answers[f"/{version}/meta-data/public-keys/"] = names
    return answers


def listed(files: Mapping[str, str]) -> dict[str, str]:
    """The files, and for every folder above them the list of its entries; folders end with a slash."""
    folders: dict[str, set[str]] = {}
    for path in files:
        parts = path.strip("/").split("/")
        for depth, part in enumerate(parts):
            folder = "/" + "".join(f"{name}/" for name in parts[:depth])
            folders.setdefault(folder, set()).add(part if depth == len(parts) - 1 else f"{part}/")
    return {**files, **{folder: "\n".join(sorted(names)) for folder, names in folders.items()}}
