"""``ramdisk-image-create``: starts what takes long to start, and has the rest done by :mod:`.ramdisks`."""

from __future__ import annotations

from imagewright.building import preloads
from imagewright.cli.invocation import Invocation
from imagewright.sandbox.starting import Launcher


def run(invocation: Invocation) -> None:
    """Make the ramdisk, or print its plan. Raises ImagewrightError."""
    if invocation.values["plan"]:
        from imagewright.cli.commands import ramdisks

        ramdisks.show_plan(invocation)
        return
    # the launcher takes as long to start as the builder's own modules, and there is more than one processor
    with Launcher.start(preloads.RAMDISK) as launcher:
        from imagewright.cli.commands import ramdisks

        ramdisks.build(invocation, launcher)
