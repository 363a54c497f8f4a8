"""The flavour's scripts as steps, for operating systems of the same family that come to their tree another way."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Script, Step

FOLDER = Path(__file__).parent / "debian"


def script(folder: str, name: str) -> Step:
    """The script ``name`` of ``folder`` (``finalise.d``), as a step of that phase."""
    source = FOLDER / folder / name
    return Step(id=name, action=Script(content=source.read_bytes(), source=source))
