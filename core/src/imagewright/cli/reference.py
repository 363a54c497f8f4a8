"""The tables of options in ``docs/commands.md``: ``python -m imagewright.cli.reference docs/commands.md``.

It rewrites, in the file that is named, everything between ``<!-- options: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.sets import COMMANDS
from imagewright.cli.options.settings import Setting

_BLOCK = re.compile(r"(<!-- options: ([a-z -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table_of(settings: Sequence[Setting]) -> str:
    """A Markdown table of options with their variables and defaults."""
    lines = ["| option | meaning | variables | default |", "| --- | --- | --- | --- |"]
    for setting in settings:
        flags = " ".join(f"`{flag}`" for flag in (setting.short, setting.flag) if flag)
        value = "" if setting.kind is Kind.SWITCH else f" `{setting.metavar}`"
        variables = " ".join(f"`{variable}`" for variable in setting.variables)
        lines.append(f"| {flags}{value} | {setting.help} | {variables} | {_default(setting)} |")
    return "\n".join(lines) + "\n"


def _default(setting: Setting) -> str:
    if setting.shown:
        return setting.shown
    if setting.default in (None, "", (), False):
        return ""
    default = setting.default
    return f"`{','.join(map(str, default)) if isinstance(default, tuple) else default}`"


def refreshed(text: str) -> str:
    """The page with its tables made anew. Raises KeyError for a command that has no table."""
    return _BLOCK.sub(lambda match: match[1] + table_of(COMMANDS[match[2].strip()]) + match[3], text)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
