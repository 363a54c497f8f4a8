"""Makes FAT filesystems (the EFI system partition) by mkfs.vfat and mtools, without mounting, the same bytes always."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from imagewright.disk import tools
from imagewright.disk.copying import copy_sparse
from imagewright.errors import PlanError
from imagewright.types import MIB

_FAT32_FROM = 64 * MIB
_FIRST_MOMENT = 315532800  # 1980-01-01: FAT knows nothing earlier
_LARGEST_LABEL = 11


def make(
    *,
    disk: Path,
    offset: int,
    size: int,
    files: Mapping[str, bytes],
    label: str,
    volume_id: str,
    epoch: int,
    scratch: Path,
) -> None:
    """Write a FAT filesystem of ``size`` bytes into ``disk`` at byte ``offset``.

    ``files`` maps paths such as ``EFI/BOOT/BOOTX64.EFI`` to contents; ``volume_id`` is 8 hex digits. ``scratch`` is a
    folder for files that are removed again. Raises HostError for a missing program or a full disk.
    """
    if len(label.encode()) > _LARGEST_LABEL:
        raise PlanError("bad-label", f"The FAT label {label!r} is longer than {_LARGEST_LABEL} bytes")
    moment = max(_FIRST_MOMENT, epoch)
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        image = folder / "vfat"
        with image.open("wb") as file:
            file.truncate(size)
        kind = ["-F", "32"] if size >= _FAT32_FROM else []
        names = ["-n", label] if label else []
        tools.run(["mkfs.vfat", *kind, "--invariant", "-i", volume_id, *names, str(image)], epoch=moment)
        # Names without folders: mtools take @@ in a path for an offset. And no settings of the host's, which name
        # drives and change how names are kept.
        extra = {"MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1"}
        made: set[str] = set()
        for number, (path, content) in enumerate(sorted(files.items())):
            for parent in reversed(PurePosixPath(path).parents[:-1]):
                if str(parent) not in made:
                    tools.run(["mmd", "-i", "vfat", f"::{parent}"], epoch=moment, extra=extra, directory=folder)
                    made.add(str(parent))
            part = folder / f"file{number}"
            part.write_bytes(content)
            os.utime(part, (moment, moment))
            argv = ["mcopy", "-m", "-i", "vfat", part.name, f"::{path}"]
            tools.run(argv, epoch=moment, extra=extra, directory=folder)
        copy_sparse(image, disk, offset=offset)
