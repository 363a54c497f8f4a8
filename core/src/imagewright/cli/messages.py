"""Errors and notes as the user reads them: on stderr, without colour as clear as with it, or as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from imagewright.cli import streams
from imagewright.cli.render.lines import printable
from imagewright.errors import ImagewrightError

SCHEMA = 1
"""The version of every JSON document that the commands print."""


def coloured(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether to colour what goes to ``stream``."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def render(error: ImagewrightError, *, colour: bool = False) -> str:
    """The whole message: what, where, cause, hint, and nothing in it that moves a terminal's cursor."""
    lines = [f"{_word('error', '1;31', colour)}: {_shown(error.message)}"]
    for place in error.where:
        lines += [f"  {printable(line)}" for line in place.splitlines() or [""]]
    if error.cause:
        lines.append(_labelled("cause", error.cause, "1", colour))
    if error.hint:
        lines.append(_labelled("hint", error.hint, "1;36", colour))
    return "\n".join(lines) + "\n"


def _labelled(label: str, text: str, code: str, colour: bool) -> str:
    first, *rest = map(printable, text.splitlines())
    return "\n".join([f"{_word(label, code, colour)}: {first}", *(f"  {line}" for line in rest)])


def _shown(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _word(word: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{word}\x1b[0m" if colour else word


def document(error: ImagewrightError) -> dict[str, Any]:
    """The error as a versioned document."""
    return {
        "schema": SCHEMA,
        "error": {
            "reference": error.reference,
            "message": error.message,
            "where": list(error.where),
            "cause": error.cause,
            "hint": error.hint,
            "exit_code": error.exit_code,
        },
    }


def show(error: ImagewrightError, *, as_json: bool) -> None:
    """Write an error to stderr, as one JSON line on request."""
    import json

    colour = coloured(sys.stderr, os.environ)
    text = f"{json.dumps(document(error))}\n" if as_json else render(error, colour=colour)
    _complain(text)


def note(text: str) -> None:
    """Write lines to stderr that are neither an error nor a warning."""
    _complain(text)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning to stderr; a replacement of :func:`warnings.showwarning`, whose form is for programmers."""
    word = _word("warning", "1;33", coloured(sys.stderr, os.environ))
    _complain(f"{word}: {_shown(str(message))}\n")


def _complain(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        # the exit code still says it
        streams.swallow(sys.stderr)


def print_document(content: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command on stdout."""
    import json

    sys.stdout.write(json.dumps({"schema": SCHEMA, **content}, indent=2, default=str) + "\n")
