"""The steps that the core itself adds to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imagewright.firstboot.tree import first_boot_tree
from imagewright.types import Packages, Phase, Put, Step

RESOLVE = "10-resolve"
INSTALL = "20-install"
FIRST_BOOT = "90-first-boot"


def package_steps(names: tuple[str, ...]) -> tuple[tuple[Phase, Step], ...]:
    """The one transaction for all flavours: resolve (the lock) and install."""
    wanted = Packages(names=names)
    return (
        (Phase.PACKAGES, Step(id=RESOLVE, action=wanted, summary="resolves names, versions and digests")),
        (Phase.PACKAGES, Step(id=INSTALL, action=wanted, summary="installs all packages in one transaction")),
    )


def first_boot_steps(scripts: Sequence[Step], environment: Mapping[str, str]) -> tuple[tuple[Phase, Step], ...]:
    """Lay the first-boot scripts, in their order, with what runs them; none if no flavour has any."""
    if not scripts:
        return ()
    tree = first_boot_tree(scripts, environment)
    return ((Phase.FINALISE, Step(id=FIRST_BOOT, action=Put(tree=tree), summary="lays the first-boot scripts")),)
