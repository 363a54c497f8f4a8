"""The output format ``raw``: the disk as it is, with holes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagewright.disk.copying import copy_sparse
from imagewright.drivers import BuiltImage


class Raw:
    """Copies the raw disk; holes stay holes, and filesystems that can share blocks do so."""

    suffix = ".raw"
    needs = "raw"
    tools: Sequence[str] = ()

    def write(self, image: BuiltImage, destination: Path) -> None:
        """Copy the raw disk. Raises HostError if the disk is full."""
        assert image.raw is not None
        copy_sparse(image.raw, destination)
