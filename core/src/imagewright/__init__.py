"""Builds operating-system disk images and bare-metal ramdisks from pluggable flavours, without root."""

from __future__ import annotations

__version__ = "0.1.0"
