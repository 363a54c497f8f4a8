"""Writes one artefact in a process of its own: ``python -P -m imagewright.building.artefacts.writer ORDER``.

Order and answer are one JSON document each; the answer, on standard output, has ``sha256``, or ``error`` with the parts
of an ImagewrightError. A process can be ended in the middle of its work, which a thread cannot.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from imagewright import errors
from imagewright.building.artefacts.files import sha256_of
from imagewright.discovery import load_output
from imagewright.drivers import BuiltImage
from imagewright.errors import ImagewrightError
from imagewright.sandbox.syscalls import die_with_parent


def order(kind: str, image: BuiltImage, destination: Path) -> list[str]:
    """The command that writes ``image`` as ``kind`` to ``destination``."""
    document = {
        "kind": kind,
        "name": image.name,
        "raw": str(image.raw) if image.raw else None,
        "epoch": image.epoch,
        "details": dict(image.details),
        "destination": str(destination),
        "builder": os.getpid(),
    }
    # the folder that the builder was called in must not be looked into for modules
    return [sys.executable, "-P", "-m", "imagewright.building.artefacts.writer", json.dumps(document)]


def answer(text: bytes, status: int) -> str:
    """The SHA-256 hex digest that a writer answered. Raises the ImagewrightError that it answered."""
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError:
        document = {}
    if "sha256" in document:
        return str(document["sha256"])
    if "error" not in document:
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        raise ImagewrightError("writer-ended", f"the program that writes the image was ended {how}")
    kind, reference, message, where, cause, hint, option = document["error"]
    raise getattr(errors, kind)(reference, message, where=tuple(where), cause=cause, hint=hint, option=option)


def main() -> None:
    """Carry out the order that is the first argument."""
    document = json.loads(sys.argv[1])
    # whoever ends the builder ends this too; Ctrl-C reaches both, and the builder says what there is to say
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
    if os.getppid() != document["builder"]:
        return
    image = BuiltImage(
        name=document["name"],
        raw=Path(document["raw"]) if document["raw"] else None,
        tar=None,
        epoch=document["epoch"],
        details=document["details"],
    )
    destination = Path(document["destination"])
    try:
        load_output(document["kind"]).write(image, destination)
        found: dict[str, Any] = {"sha256": sha256_of(destination)}
    except ImagewrightError as error:
        # a class of a driver's own counts as the one of ours that it is
        kind = next(one.__name__ for one in type(error).__mro__ if vars(errors).get(one.__name__) is one)
        found = {
            "error": (kind, error.reference, error.message, error.where, error.cause, error.hint, error.option),
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
