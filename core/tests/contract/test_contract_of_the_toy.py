from __future__ import annotations

from imagewright.testing.contract import PackContract


class TestTheToyOperatingSystem(PackContract):
    """The toy operating system is held to what packs are held to."""

    flavours = ("toy",)
