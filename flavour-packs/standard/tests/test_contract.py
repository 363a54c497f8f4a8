from __future__ import annotations

from imagewright.testing.contract import PackContract


class TestContract(PackContract):
    flavours = (
        "base",
        "cloud-init",
        "devuser",
        "dhcp-all",
        "growroot",
        "local-config",
        "persistent-state",
        "serial-console",
        "ssh-server",
        "vm",
    )


class TestContractOfWhatTheToyHasNoPackagesFor(PackContract):
    flavours = ("baremetal", "iscsi-initiator")
    operating_system = "debian"
