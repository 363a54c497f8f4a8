"""Partitions that one flavour adds to the layout of another."""

from __future__ import annotations

import pytest
from imagewright.building.host.checks import layout_of
from imagewright.errors import PlanError

VM = """
from imagewright.api import Flavour, Layout, Partition, Step, hookimpl

class Vm(Flavour):
    @hookimpl
    def block_device(self, ctx):
        esp = Partition(name="esp", type="C12A7328-F81F-11D2-BA4B-00A0C93EC93B", size=2**26, role="esp")
        root = Partition(name="root", type="4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", role="root")
        return [Step(id="10-vm", action=Layout(partitions=(esp, root)))]

class State(Flavour):
    @hookimpl
    def block_device(self, ctx):
        kind = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
        return [Step(id="50-state", action=Partition(name="state", type=kind, size=2**30))]
"""


def test_an_added_partition_lies_in_front_of_the_root_so_that_the_root_can_grow(shelf):
    shelf.system()
    shelf.pack("disks", {"vm": "Vm", "state": "State"}, VM)
    layout = layout_of(shelf.prepare("vm", "state"))
    assert layout is not None
    assert [partition.name for partition in layout.partitions] == ["esp", "state", "root"]


def test_a_partition_without_a_layout_is_refused(shelf):
    shelf.system()
    shelf.pack("disks", {"vm": "Vm", "state": "State"}, VM)
    with pytest.raises(PlanError, match="adds a partition, and no flavour declares the layout") as caught:
        shelf.prepare("state")
    assert "vm" in caught.value.hint
