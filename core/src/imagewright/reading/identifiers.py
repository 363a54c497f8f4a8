"""Identifiers of filesystems and partitions as text.

Python's ``uuid`` does it too, but asks the machine for its kind when it is imported, which takes longer than reading a
partition table.
"""

from __future__ import annotations


def uuid_of(raw: bytes) -> str:
    """Sixteen bytes, the first ones first, as filesystems keep them (RFC 9562)."""
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def guid_of(raw: bytes) -> str:
    """Sixteen bytes, the first three fields little endian, as a GPT keeps them (UEFI specification, appendix A)."""
    return uuid_of(raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:])
