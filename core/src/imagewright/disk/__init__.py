"""The disk: sizes, partition table, filesystems and boot loader on a plain file, without mounting anything."""

from __future__ import annotations
