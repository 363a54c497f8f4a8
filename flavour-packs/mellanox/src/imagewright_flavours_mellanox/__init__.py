"""Mellanox adapters in images and ramdisks, as their vendor would ship it."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour


class Mellanox(Flavour):
    """Mellanox mlx4 and mlx5 adapters, InfiniBand and Ethernet; everything it does lies in its folder."""

    api_version = 1
    folder = Path(__file__).parent / "mellanox"
