"""The steps that the core itself adds to a plan."""

from __future__ import annotations

from imagewright.types import Packages, Phase, Step

RESOLVE = "10-resolve"
INSTALL = "20-install"


def package_steps(names: tuple[str, ...]) -> tuple[tuple[Phase, Step], ...]:
    """The one transaction for all flavours: resolve (the lock) and install."""
    wanted = Packages(names=names)
    return (
        (Phase.PACKAGES, Step(id=RESOLVE, action=wanted, summary="resolves names, versions and digests")),
        (Phase.PACKAGES, Step(id=INSTALL, action=wanted, summary="installs all packages in one transaction")),
    )
