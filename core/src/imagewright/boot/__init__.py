"""Booting images in QEMU: the machine, its metadata, the login, and what a trial found out."""

from __future__ import annotations
