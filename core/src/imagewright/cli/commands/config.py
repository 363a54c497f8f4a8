"""``imagewright config show``: every option, its value, and who said so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.places import user_file
from imagewright.cli.resolve import Resolved, read_files, resolve
from imagewright.cli.settings import SETTINGS
from imagewright.types import GIB


def show(invocation: Invocation) -> None:
    """Print the settings that commands called here and now would take."""
    files = read_files(Path.cwd(), user_file())
    own = {item.setting.name: item.setting for item in invocation.values.resolved}
    values = resolve(
        [setting for name, setting in SETTINGS.items() if name not in own],
        flags={},
        environment=invocation.environment,
        files=files,
    )
    by_name = {item.setting.name: item for item in (*values.resolved, *invocation.values.resolved)}
    items = [by_name[name] for name in SETTINGS]
    if invocation.values["json"]:
        print_document(
            {
                "files": [str(file.path) for file in files],
                "settings": {item.setting.name: {"value": plain(item), "source": item.source} for item in items},
            }
        )
        return
    rows = [(item.setting.name, _shown(item), item.source) for item in items]
    width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    value_width = min(value_width, 40)
    for name, value, source in rows:
        sys.stdout.write(f"{name:<{width}}  {value:<{value_width}}  {source}\n")


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
