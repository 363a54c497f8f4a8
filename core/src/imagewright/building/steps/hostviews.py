"""What a script that runs as the caller on the host sees of the host, and what it may write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagewright
from imagewright.building.state import Building
from imagewright.plan import PlannedStep
from imagewright.planning.variables import as_text
from imagewright.sandbox import privacy


@contextmanager
def scratch(folder: Path) -> Iterator[tuple[Path, ...]]:
    """Folders beside that of a step, which are its ``/tmp`` and ``/var/tmp`` and go with it."""
    made = [folder.with_name(f"{folder.name}{name.replace('/', '-')}") for name in privacy.SCRATCH]
    try:
        for one in made:
            one.mkdir(parents=True)
            one.chmod(0o1777)
        yield tuple(made)
    finally:
        for one in made:
            shutil.rmtree(one, ignore_errors=True)


def view_of(
    building: Building,
    planned: PlannedStep,
    environment: Mapping[str, str],
    *,
    folder: Path,
    scratch: tuple[Path, ...],
    namespaces: Mapping[str, int],
) -> dict[str, Any]:
    """The view of a step's script, for :mod:`imagewright.sandbox.hostview`.

    Of what is covered it sees the programs on its PATH, what its flavour declares in ``reads``, and files that the
    flavour's parameters name where the user set them.
    """
    hidden = privacy.homes(environment)
    library = str(building.folder / "lib")
    flavour = building.prepared.plan.flavour(planned.origin.flavour)
    home = environment.get("HOME", "")
    reads = flavour.reads if flavour else ()
    values = building.prepared.parameters.get(planned.origin.flavour, {})
    # what the flavour itself presumes is no word of the user's
    given = [
        values.get(one.name) for one in (flavour.parameters if flavour else ()) if values.get(one.name) != one.default
    ]
    asked = [path.replace("~", home, 1) if path.startswith("~/") else path for path in reads]
    asked += [text for value in given if (text := as_text(value)).startswith("/")]
    shown = [*privacy.needed(environment, hidden), *privacy.below(hidden, [*asked, library])]
    return {
        "package": str(Path(imagewright.__file__).parent.parent),
        "homes": hidden,
        "shown": [path for path in dict.fromkeys(shown) if os.access(path, os.R_OK)],
        "writable": [str(folder), *_given(environment)],
        "scratch": [str(one) for one in scratch],
        "directory": str(folder),
        "memory": building.sandbox.limits.memory,
        "namespaces": dict(namespaces),
    }


def _given(environment: Mapping[str, str]) -> list[str]:
    """The folder of the contract that takes what a script brings, if it has one."""
    given = environment.get("TMP_HOOKS_PATH", "")
    return [given] if given else []
