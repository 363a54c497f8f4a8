"""The modules whose functions are called in the sandbox: its launcher imports them once, before any job starts.

Names only: who starts a launcher ahead has not imported the modules that call them.
"""

from __future__ import annotations

LAYERS = ("imagewright.layers.content",)

TREE = (
    *LAYERS,
    "imagewright.layers.stacks",
    "imagewright.building.steps.inside",
    "imagewright.building.steps.calling",
)

BESIDE = ("imagewright.supplychain.looking",)
"""Of what is written beside an output."""

IMAGE = (*TREE, "imagewright.disk.assembly", "imagewright.disk.archive", "imagewright.blankslate.looking", *BESIDE)

RAMDISK = (*TREE, "imagewright.ramdisk.making", "imagewright.ramdisk.staging", "zstandard", *BESIDE)
