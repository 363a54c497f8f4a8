"""A pack whose hook takes an argument that no hook has."""

from __future__ import annotations

from imagewright.api import Flavour, hookimpl


class Faulty(Flavour):
    """Its hook cannot be called."""

    @hookimpl
    def install(self, ctx, folder):
        """Takes one argument too many."""
        return ()
