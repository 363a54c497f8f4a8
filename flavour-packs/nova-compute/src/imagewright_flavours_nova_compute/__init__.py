"""Compute nodes of OpenStack."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour


class NovaCompute(Flavour):
    """Debian's nova-compute with libvirt and KVM; everything it does lies in its folder."""

    api_version = 1
    folder = Path(__file__).parent / "nova-compute"
