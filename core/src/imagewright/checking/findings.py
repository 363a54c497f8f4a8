"""What a rule is and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S")


class Level(StrEnum):
    """How bad a finding is: an error makes ``flavours check`` fail."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A place where a rule is broken. ``file`` is relative to the flavour; ``line`` counts from 1, 0 is the whole."""

    file: str
    message: str
    fix: str
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hit with its rule and the flavour or pack that it is about; ``file`` is a path as the user gave it."""

    rule: str
    level: Level
    subject: str
    file: str
    line: int
    message: str
    reason: str
    fix: str

    @property
    def place(self) -> str:
        """``flavours/greeting/install.d/50-greeting:3``."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[S]):
    """One thing that is looked for. ``what`` names it, ``reason`` says what would happen otherwise."""

    name: str
    what: str
    reason: str
    check: Callable[[S], Iterable[Hit]]
    level: Level = Level.ERROR
