"""A pack whose hook lacks its mark."""

from __future__ import annotations

from imagewright.api import Flavour


class Faulty(Flavour):
    """Its hook would never be called."""

    def install(self, ctx):
        """Lacks @hookimpl."""
        return ()
