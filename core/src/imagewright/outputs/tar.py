"""The output format ``tar``: the root tree as an archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagewright.disk.copying import copy_sparse
from imagewright.drivers import BuiltImage


class Tar:
    """Copies the archive that the engine made inside the namespace, where owners and capabilities read right."""

    suffix = ".tar"
    needs = "tar"
    tools: Sequence[str] = ("tar",)

    def write(self, image: BuiltImage, destination: Path) -> None:
        """Copy the archive. Raises HostError if the disk is full."""
        assert image.tar is not None
        copy_sparse(image.tar, destination)
