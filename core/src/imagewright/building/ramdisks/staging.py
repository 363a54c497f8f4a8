"""Looks at what is given for a ramdisk, and lays ready in the work folder what flavours give, and its ``/init``."""

from __future__ import annotations

import subprocess
from pathlib import Path

from imagewright.building.staging.trees import write_tree
from imagewright.errors import ContractError
from imagewright.planning.ramdisks import PlannedRamdisk
from imagewright.ramdisk.initscript import Fragment, joined, shipped
from imagewright.request import RamdiskRequest
from imagewright.types import Entry, Origin, Tree


def check_given(planned: PlannedRamdisk, request: RamdiskRequest) -> None:
    """Refuse, before any work, what cannot become a ramdisk.

    Raises ContractError for a fragment of ``/init``, ImageUnreadable and UsageError for the image of the kernel.
    """
    _check_fragments(planned)
    if request.kernel_image is not None:
        # what reads images costs more than all of a ramdisk that needs none
        from imagewright.building.ramdisks.imageroots import image_kernel

        with image_kernel(request.kernel_image, request.kernel_version):
            pass


def _check_fragments(planned: PlannedRamdisk) -> None:
    """Refuse a fragment that is no shell: at boot one such line would end all of ``/init``."""
    origins = {flavour.name: flavour.origin for flavour in planned.flavours}
    for one in planned.fragments:
        done = subprocess.run(("sh", "-n"), input=one.content, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ContractError(
                "init-syntax",
                f"what flavour `{one.flavour}` gives for /init is no shell",
                where=(f"flavour: {origins[one.flavour]}",),
                cause=(done.stderr.strip().splitlines() or ["`sh -n` refuses it"])[-1],
                hint="`sh -n FILE` says the same of the flavour's file `init`",
            )


def stage_given(planned: PlannedRamdisk, folder: Path, *, init_timeout: int) -> dict[str, str]:
    """Write ``/init`` and the files of flavours; return the path of each file with the flavour that gives it."""
    fragments = [
        Fragment(flavour=one.flavour, content=one.content, variables=one.variables) for one in planned.fragments
    ]
    text = joined(shipped(), fragments, {"INIT_TIMEOUT": str(init_timeout)})
    by_flavour: dict[str, list[Entry]] = {}
    for entry, flavour in planned.files:
        by_flavour.setdefault(flavour, []).append(entry)
    folder.mkdir(mode=0o755)
    for flavour, entries in by_flavour.items():
        write_tree(Tree(tuple(entries)), folder, Origin(flavour=flavour))
    write_tree(Tree((Entry(path="init", mode=0o755, content=text.encode()),)), folder, Origin(flavour="imagewright"))
    return {entry.path: flavour for entry, flavour in planned.files}
