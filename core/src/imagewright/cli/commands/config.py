"""``imagewright config show``: the options of every command, their values, and who said so."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.options.resolve import Resolved, read_files, resolve
from imagewright.cli.options.sets import COMMANDS
from imagewright.cli.places import current_folder, user_file
from imagewright.types import GIB

SEVERAL = "several commands"
"""The heading of the options that mean the same in more commands than a heading names."""

NAMED = 3
"""How many commands a heading names."""


def show(invocation: Invocation) -> None:
    """Print the settings that commands called here and now would take."""
    files = read_files(current_folder(), user_file())
    own = {item.setting.name: item for item in invocation.values.resolved}
    commands = {
        command: {
            item.setting.name: own.get(item.setting.name, item)
            for item in resolve(settings, flags={}, environment=invocation.environment, files=files).resolved
        }
        for command, settings in COMMANDS.items()
    }
    if invocation.values["json"]:
        print_document(
            {
                "files": [str(file.path) for file in files],
                "commands": {
                    command: {name: {"value": plain(item), "source": item.source} for name, item in items.items()}
                    for command, items in commands.items()
                },
            }
        )
        return
    shown = {
        heading: [(item.setting.name, _shown(item), item.source) for item in items]
        for heading, items in grouped(commands).items()
    }
    rows = [row for section in shown.values() for row in section]
    width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    value_width = min(value_width, 40)
    for number, (heading, section) in enumerate(shown.items()):
        sys.stdout.write(f"{chr(10) if number else ''}{heading}:\n")
        for name, value, source in section:
            sys.stdout.write(f"  {name:<{width}}  {value:<{value_width}}  {source}\n")


def grouped(commands: Mapping[str, Mapping[str, Resolved]]) -> dict[str, list[Resolved]]:
    """Each option once, below the commands in which it means the same, or below :data:`SEVERAL` if those are many."""
    users: dict[tuple[Any, ...], list[str]] = {}
    for command, items in commands.items():
        for item in items.values():
            users.setdefault(_meaning(item), []).append(command)
    groups: dict[str, list[Resolved]] = {SEVERAL: []}
    for command, items in commands.items():
        for item in items.values():
            common = users[_meaning(item)]
            if common[0] == command:
                heading = ", ".join(common) if len(common) <= NAMED else SEVERAL
                groups.setdefault(heading, []).append(item)
    return {heading: items for heading, items in groups.items() if items}


def _meaning(item: Resolved) -> tuple[Any, ...]:
    setting = item.setting
    return setting.name, setting.variables, setting.default, setting.shown


def plain(item: Resolved) -> Any:
    """The value as JSON can carry it; sizes in bytes, pairs as lists of their parts, without what may be secret."""
    value = item.value
    if item.setting.name == "set":
        return [[flavour, name] for flavour, name, _ in value]
    if isinstance(value, tuple):
        return [[str(part) for part in one] if isinstance(one, tuple) else str(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _shown(item: Resolved) -> str:
    value, setting = item.value, item.setting
    if value in (None, "", ()):
        return f"({setting.shown})" if setting.shown else "-"
    if setting.name == "image-size":
        return f"{value / GIB:g}"
    if setting.name == "set":
        # The value may be a secret; which parameters are secret only the flavours know.
        return ", ".join(f"{flavour}.{name}=…" for flavour, name, _ in value)
    if setting.name == "override":
        return ", ".join(f"{name}={folder}" for name, folder in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
