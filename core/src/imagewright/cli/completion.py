"""Shell completion: names of flavours without loading one, and typer's protocol for the shells. It never fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_MOST_PLANS = 5
_NO_TREE = ("block-device", "extra-data/", "first-boot/")  # phases that run elsewhere than in a root tree


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


def images(incomplete: str, file: str) -> Iterator[tuple[str, str]]:
    """Names of the images of an images file with their flavours."""
    try:
        from pathlib import Path

        from imagewright.cli.imagesfile import read_images

        for entry in read_images(Path(file or _file_of_the_line()).expanduser()):
            if entry.name.startswith(incomplete):
                yield entry.name, " ".join(entry.flavours)
    except Exception:
        return


def steps(incomplete: str, cache_dir: str = "") -> Iterator[tuple[str, str]]:
    """Steps of the tree of what was built last, by the notes in the cache alone."""
    try:
        import json
        from pathlib import Path

        from imagewright.cli.places import cache_folder

        given = cache_dir or os.environ.get("IMAGEWRIGHT_CACHE_DIR") or ""
        folder = (Path(given).expanduser() if given else cache_folder()) / "plans"
        seen: set[str] = set()
        for note in sorted(folder.glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)[:_MOST_PLANS]:
            for name in json.loads(note.read_text())["steps"]:
                if name.startswith(incomplete) and not name.startswith(_NO_TREE) and name not in seen:
                    seen.add(name)
                    yield name, "step"
    except Exception:
        return


def _file_of_the_line() -> str:
    """The first word of the line that names a file: the parser gives up at an option that has no value yet."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return next(word for word in line.split()[2:] if os.path.isfile(os.path.expanduser(word)))


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
