"""The flavour persistent-state: a partition for what must outlive the image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imagewright.api import GIB, BuildContext, Flavour, Partition, Step, hookimpl

LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"  # of the UEFI partition types: Linux filesystem data


class PersistentState(Flavour):
    """Host keys and data directories on a partition of their own, which a redeployment leaves alone."""

    api_version = 1
    folder = Path(__file__).parent / "persistent-state"

    @hookimpl
    def block_device(self, ctx: BuildContext) -> Iterable[Step]:
        """Add the partition to the layout of vm."""
        size = int(ctx.parameters["size"] or 1) * GIB
        partition = Partition(name="state", type=LINUX_DATA, size=size, filesystem="ext4", label="state")
        return [Step(id="50-persistent-state", action=partition, summary="a partition for what must survive")]
