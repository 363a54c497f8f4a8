"""Reads a plain command line, in which every word is known, without typer: importing that takes 50 ms.

It answers only where typer would read the same; whatever is unusual, and so everything that wants help, a message or
a completion, is left to typer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.setting import Setting
from imagewright.cli.programs import PROGRAMS, Program
from imagewright.cli.screen import Screen


class Words(NamedTuple):
    """What a command line says: ``flags`` by the name of the option, ``arguments`` by theirs."""

    flags: dict[str, Any]
    arguments: dict[str, Any]


def answered(name: str, argv: Sequence[str], screen: Screen) -> bool:
    """Run the program of that name if its command line is plain; whether it was. Raises ImagewrightError."""
    program = next((program for program in PROGRAMS if program.name == name), None)
    words = read(program, argv) if program else None
    if program is None or words is None:
        return False
    # not before it is known that typer is not asked, whose help needs none of it
    from imagewright.cli.invoking import invoke

    invoke(
        program.body,
        program.settings,
        program=program.name,
        flags=words.flags,
        arguments=words.arguments,
        screen=screen,
    )
    return True


def read(program: Program, argv: Sequence[str]) -> Words | None:
    """The words of a command line, or None if typer has to read it."""
    known = _names(program.settings)
    flags: dict[str, Any] = {}
    arguments: list[str] = []
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            arguments.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name not in known:
            return None
        setting, on = known[name]
        if setting.kind is Kind.SWITCH:
            if equals:
                return None
            flags[setting.name] = on
            continue
        given = value if equals else next(words, "-")
        if not equals and given.startswith("-"):
            return None
        flags[setting.name] = [*flags.get(setting.name, ()), given] if setting.kind.repeatable else given
    if not arguments or (len(arguments) > 1 and not program.several):
        return None
    return Words(flags=flags, arguments={program.argument: arguments if program.several else arguments[0]})


def _names(settings: Sequence[Setting]) -> dict[str, tuple[Setting, bool]]:
    """Every flag with its option, and whether it switches it on."""
    known = {}
    for setting in settings:
        known[setting.flag] = known[setting.short or setting.flag] = (setting, True)
        if setting.kind is Kind.SWITCH:
            known[setting.negative] = (setting, False)
    return known
