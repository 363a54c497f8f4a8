"""A kernel module of one's own, built by DKMS for the kernel of the image."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour


class DkmsExample(Flavour):
    """A small kernel module with its DKMS configuration; everything it does lies in its folder."""

    api_version = 1
    folder = Path(__file__).parent / "dkms-example"
