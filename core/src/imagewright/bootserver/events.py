"""What the boot server says while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["started", "refused", "deploying", "deployed", "failed", "served", "report", "inventory", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: ``text`` is a sentence without a final period, ``client`` an address or empty."""

    kind: Kind
    text: str
    client: str = ""


Log = Callable[[Event], None]


def printable(text: str, limit: int = 400) -> str:
    """What a machine sent, fit for a line of a log."""
    return "".join(character if character.isprintable() else "?" for character in text[:limit])
