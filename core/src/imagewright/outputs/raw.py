"""The output format ``raw``: the disk as it is, with holes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagewright.disk.copying import link_or_copy
from imagewright.drivers import BuiltImage


class Raw:
    """Gives the raw disk a second name, or copies it; holes stay holes."""

    suffix = ".raw"
    needs = "raw"
    tools: Sequence[str] = ()

    def write(self, image: BuiltImage, destination: Path) -> None:
        """Link or copy the raw disk. Raises HostError if the disk is full."""
        assert image.raw is not None
        link_or_copy(image.raw, destination)
