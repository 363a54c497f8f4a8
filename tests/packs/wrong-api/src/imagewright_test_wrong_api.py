"""A pack written for a contract that this core does not speak."""

from __future__ import annotations

from imagewright.api import API_VERSION, Flavour


class Faulty(Flavour):
    """Of the future."""

    api_version = API_VERSION + 1
