from __future__ import annotations

from imagewright.testing.contract import PackContract


class TestContract(PackContract):
    flavours = ("base", "cloud-init", "dhcp-all", "growroot", "persistent-state", "serial-console", "ssh-server", "vm")
