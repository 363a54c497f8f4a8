"""How a deployment goes wrong."""

from __future__ import annotations

from imagewright.errors import ImagewrightError


class DeploymentFailed(ImagewrightError):
    """A machine did not get its image; its disk has no partition table that a firmware would start from."""
