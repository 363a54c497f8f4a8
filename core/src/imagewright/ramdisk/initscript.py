"""Joins ``/init``: the project's functions and start, every flavour's fragment, and the project's end, in one shell.

The pieces of the project are the files of the folder ``init`` beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

SHELL = "/bin/sh"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """Shell of one flavour; ``variables`` are set before it."""

    flavour: str
    content: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The project's own parts: functions, what comes before the fragments, and what comes after."""

    functions: str
    start: str
    end: str


def shipped() -> Pieces:
    """The parts that come with the project; functions in the order of their files' names."""
    folder = resources.files("imagewright.ramdisk") / "init"
    functions = sorted((folder / "functions").iterdir(), key=lambda file: file.name)
    return Pieces(
        functions="".join(_ended(file.read_text(encoding="utf-8")) for file in functions),
        start=(folder / "start").read_text(encoding="utf-8"),
        end=(folder / "end").read_text(encoding="utf-8"),
    )


def joined(pieces: Pieces, fragments: Sequence[Fragment], variables: Mapping[str, str]) -> str:
    """The whole of ``/init``. ``variables`` are set before anything else.

    Every fragment follows a line ``fragment NAME LINE``, where LINE is that line's own number, so that an error can be
    placed in the flavour's file. Lines that name an interpreter lose their meaning and are kept as comments.
    """
    text = f"#!{SHELL}\n{_set(variables)}"
    text += _ended(pieces.functions) + _ended(pieces.start)
    for one in fragments:
        text += _set(one.variables)
        text += f"fragment {_quoted(one.flavour)} {text.count(chr(10)) + 1}\n{_ended(one.content)}"
    return text + _ended(pieces.end)


def _set(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(variables.items()))


def _ended(text: str) -> str:
    # Windows' line ends would become part of words
    text = text.replace("\r\n", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("'", "'\\''") + "'"
