"""Shell completion: names of flavours without loading one, and typer's protocol for the shells. It never fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def variable(program: str) -> str:
    """The variable by which a shell asks a program for completions."""
    return f"_{program.replace('-', '_').upper()}_COMPLETE"


def requested(program: str) -> bool:
    """Whether a shell is asking."""
    return variable(program) in os.environ


def answer(program: str, make_command: Callable[[], Any]) -> int:
    """Answer the shell. Whatever goes wrong, the shell sees no words rather than a message."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    try:
        completion_init()
        make_command().main(args=[], prog_name=program)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except Exception:
        return 1
    return 0


def script(program: str, shell: str) -> str:
    """What a shell has to evaluate to complete ``program``."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    return str(get_completion_script(prog_name=program, complete_var=variable(program), shell=shell))


def flavours(incomplete: str, search_path: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Names of flavours with where they come from, by entry points and search path alone.

    ``search_path`` holds what ``--flavour-path`` said so far; without it the variables count.
    """
    try:
        seen: set[str] = set()
        for name, place in (*_installed(), *_on_path(":".join(search_path))):
            if name.startswith(incomplete) and name not in seen:
                seen.add(name)
                yield name, place
    except Exception:
        return


def _installed() -> Iterator[tuple[str, str]]:
    from importlib.metadata import distributions

    for distribution in distributions():
        for point in distribution.entry_points:
            if point.group == "imagewright.flavours":
                yield point.name, f"{distribution.name} {distribution.version}"


def _on_path(given: str) -> Iterator[tuple[str, str]]:
    from pathlib import Path

    path = given or os.environ.get("IMAGEWRIGHT_FLAVOUR_PATH") or os.environ.get("FLAVOURS_PATH") or ""
    for folder in filter(None, path.split(":")):
        for place in sorted(Path(folder).expanduser().iterdir()):
            if place.is_dir() and (any(place.glob("*.d")) or (place / "flavour.toml").is_file()):
                yield place.name, folder
