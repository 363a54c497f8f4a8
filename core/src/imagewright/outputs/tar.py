"""The output format ``tar``: the root tree as an archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagewright.disk.copying import link_or_copy
from imagewright.drivers import BuiltImage


class Tar:
    """Links or copies the archive that the engine made in the namespace, where owners and capabilities read right."""

    suffix = ".tar"
    needs = "tar"
    tools: Sequence[str] = ("tar",)

    def write(self, image: BuiltImage, destination: Path) -> None:
        """Link or copy the archive. Raises HostError if the disk is full."""
        assert image.tar is not None
        link_or_copy(image.tar, destination)
