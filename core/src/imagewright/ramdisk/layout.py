"""The layout of a ramdisk: that of a merged ``/usr``, whatever the roots and the flavours look like."""

from __future__ import annotations

MERGED = ("bin", "lib", "lib64", "sbin")
"""Names in the root folder that are links to the folders of the same names in ``/usr``."""


def merged_path(path: str) -> str:
    """A path as a merged ``/usr`` has it, without a leading slash."""
    path = path.lstrip("/")
    top, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and top in MERGED else path
