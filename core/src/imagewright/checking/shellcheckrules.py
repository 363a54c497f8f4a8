"""The rule that calls shellcheck, where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

from imagewright.checking.findings import Hit, Rule
from imagewright.checking.shell import SHELLS
from imagewright.checking.subjects import FlavourSubject, ScriptSubject

WHILE_RUNNING = ("SC1090", "SC1091")
"""What a script sources is there when it runs, not beside it."""

IN_FRAGMENTS = ("SC2034", "SC2148", "SC2154")
"""A piece of ``/init`` has no interpreter line, and shares its variables with the other pieces."""


def installed() -> bool:
    """Whether shellcheck is there."""
    return shutil.which("shellcheck") is not None


def _shellcheck(flavour: FlavourSubject) -> Iterator[Hit]:
    if installed():
        for script in flavour.scripts:
            if script.is_shell:
                yield from _of_script(script)


def _of_script(script: ScriptSubject) -> Iterator[Hit]:
    shell = script.interpreter if script.interpreter in SHELLS - {"ash"} else "sh"
    excluded = (*WHILE_RUNNING, *(IN_FRAGMENTS if script.phase is None else ()))
    argv = ["shellcheck", "--format=json1", "--severity=warning", "--shell", shell, "--exclude", ",".join(excluded)]
    # shellcheck reads the author's .shellcheckrc where it is given the file itself
    given = [str(script.path)] if script.path is not None else ["-"]
    done = subprocess.run(
        [*argv, *given], input=None if script.path else script.content, capture_output=True, check=False
    )
    try:
        comments = json.loads(done.stdout)["comments"]
    except (ValueError, KeyError):
        yield Hit(
            file=script.file,
            message=f"shellcheck cannot read it: {done.stderr.decode(errors='replace').strip()}",
            fix=f"shellcheck {script.file}",
        )
        return
    for comment in comments:
        code = f"SC{comment['code']}"
        yield Hit(
            file=script.file,
            line=int(comment["line"]),
            message=f"{code}: {comment['message'].rstrip('.')}",
            fix=f"change it, or say why not: # shellcheck disable={code}",
        )


RULES: tuple[Rule[FlavourSubject], ...] = (
    Rule(
        name="shellcheck",
        what="warnings of shellcheck, if it is installed",
        reason="it knows the pitfalls of the shell; its wiki explains each code",
        check=_shellcheck,
    ),
)
"""The one rule of this page."""
