"""``imagewright flavours new``: a flavour, or a pack with one, to start from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.entrypoints import survey
from imagewright.errors import UsageError
from imagewright.templates import Kind, write


def run(invocation: Invocation) -> None:
    """Write it, print its path on stdout and the next commands on stderr.

    Raises UsageError without a name, for two kinds at once, and for a folder that is there already.
    """
    name, values = invocation.arguments["name"], invocation.values
    if not name:
        raise UsageError("no-name", "what is the flavour's name?", hint="imagewright flavours new my-flavour")
    if values["script"] and values["python"]:
        raise UsageError(
            "two-kinds",
            "`--script` and `--python` exclude each other",
            hint="a class may have a folder of scripts too: see `folder` in docs/flavours.md",
        )
    # a class is found by its entry point, and only a distribution has those
    pack = values["pack"] or values["python"]
    kind = Kind.PYTHON_PACK if values["python"] else Kind.SCRIPT_PACK if pack else Kind.FOLDER
    made = write(kind, name, values["directory"])
    for other in survey().named(name):
        sys.stderr.write(
            f"note: {other.distribution or other.place} has a flavour `{name}` already; a build that finds both stops, "
            f"unless `--override {name}={shlex.quote(str(made))}` chooses\n"
        )
    if values["json"]:
        print_document({"flavour": name, "kind": kind.value, "path": str(made), "next": _next(kind, name, made)})
    else:
        sys.stdout.write(f"{made}\n")
        sys.stderr.write("next:\n" + "".join(f"  {line}\n" for line in _next(kind, name, made)))


def _next(kind: Kind, name: str, made: Path) -> list[str]:
    place, above = shlex.quote(str(made)), shlex.quote(str(made.parent))
    if kind is Kind.FOLDER:
        return [
            f"imagewright flavours check {place}/",
            f"disk-image-create --flavour-path {above} -o image debian vm {name}",
        ]
    return [
        f"imagewright flavours check {place}/",
        f"pip install --editable '{made}[test]' && pytest {place}",
        f"disk-image-create -o image debian vm {name}",
    ]
