"""Where values came from: the source of a value that is to blame, and variables that mean nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from imagewright.cli import messages
from imagewright.cli.options.resolve import Values
from imagewright.cli.options.settings import SETTINGS, Setting
from imagewright.errors import ImagewrightError

PREFIX = "IMAGEWRIGHT_"

OTHERS = ("IMAGEWRIGHT_TEST_", "IMAGEWRIGHT_NEWCOMER_")
"""How variables of the project's own tests begin, which are no options."""


def name_source(error: ImagewrightError, values: Values) -> None:
    """Add to an error where the value of its option came from, if the user cannot see that on the command line.

    An error that names no option as the one to blame is about those whose flags stand in its message.
    """
    blamed = [error.option] if error.option else re.findall(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)", error.message)
    for item in values.resolved:
        if item.setting.name in blamed and item.source not in ("default", item.setting.flag):
            sources = [_described(source, item.setting) for source in item.source.split(", ")]
            error.where = (*error.where, f"{item.setting.flag} comes from {' and '.join(sources)}")


def _described(source: str, setting: Setting) -> str:
    if source in setting.variables:
        return f"the environment variable {source}"
    return "the command line" if source == setting.flag else source


def warn_of_unknown_variables(environment: Mapping[str, str], values: Values) -> None:
    """Say on stderr which variables with our prefix set nothing, in the form of the chosen progress."""
    names = unknown_variables(environment)
    if not names:
        return
    # only now, because looking for flavours costs more than all of the above
    flavours = _flavours(tuple(values.get("flavour-path", ())))
    for name in names:
        if not name.startswith(tuple(f"{PREFIX}{flavour.upper().replace('-', '_')}_" for flavour in flavours)):
            _warn(_sentence(name), as_events=values.get("progress") == "json")


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The variables with our prefix that are no option's; parameters of flavours are among them."""
    known = {setting.variable for setting in SETTINGS.values()}
    # an empty variable is an unset one
    ours = [name for name in sorted(environment) if name.startswith(PREFIX) and environment[name]]
    return [name for name in ours if name not in known and not name.startswith(OTHERS)]


def _flavours(flavour_path: tuple[Path, ...]) -> tuple[str, ...]:
    from imagewright.entrypoints import survey

    try:
        return survey(flavour_path).names
    except ImagewrightError:
        # the command itself will say what is wrong with the path
        return survey().names


def _sentence(name: str) -> str:
    from difflib import get_close_matches

    # the common prefix would make any two names alike
    options = {setting.variable.removeprefix(PREFIX): setting.variable for setting in SETTINGS.values()}
    near = get_close_matches(name.removeprefix(PREFIX), options, n=1, cutoff=0.7)
    advice = f"did you mean `{options[near[0]]}`?" if near else "`imagewright config show` lists all options"
    return f"the environment variable `{name}` sets nothing; {advice}"


def _warn(sentence: str, *, as_events: bool) -> None:
    if as_events:
        from imagewright.cli.render.jsonl import JsonMonitor
        from imagewright.events import Notice

        JsonMonitor(sys.stderr).handle(Notice(message=sentence, level="warning"))
    else:
        messages.show_warning(sentence, UserWarning, "", 0)
