"""How a boot goes wrong."""

from __future__ import annotations

from imagewright.errors import ImagewrightError


class BootFailed(ImagewrightError):
    """A machine did not come to the point that was waited for; ``where`` ends with its console's last lines."""
