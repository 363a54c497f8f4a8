"""The output format ``qcow2``: a compressed disk image of QEMU's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagewright.disk import tools
from imagewright.drivers import BuiltImage


class Qcow2:
    """Writes qcow2 with zstd compression: smaller and five times faster to write than with zlib."""

    suffix = ".qcow2"
    needs = "raw"
    tools: Sequence[str] = ("qemu-img",)

    def write(self, image: BuiltImage, destination: Path) -> None:
        """Convert the raw disk; the same disk gives the same bytes. Raises HostError, StepFailed."""
        assert image.raw is not None
        # Out-of-order writes (-W) would be faster, and different each time.
        argv = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-m", "16", "-o", "compression_type=zstd"]
        # Names with a colon would be taken for protocols, hence the absolute paths.
        tools.run([*argv, str(image.raw.absolute()), str(destination.absolute())])
