"""Flavours of ramdisks for machines of metal; what each does lies in its folder."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour

HERE = Path(__file__).parent


class Deploy(Flavour):
    """A disk that the boot server writes over iSCSI."""

    api_version = 1
    folder = HERE / "deploy"


class DeployHttp(Flavour):
    """An image that the machine fetches and writes itself."""

    api_version = 1
    folder = HERE / "deploy-http"


class Hwdiscovery(Flavour):
    """An inventory of the machine, as JSON."""

    api_version = 1
    folder = HERE / "hwdiscovery"


class Hwburnin(Flavour):
    """An exercise of memory and disks, bounded by time."""

    api_version = 1
    folder = HERE / "hwburnin"
