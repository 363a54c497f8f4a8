"""``imagewright completion``: what a shell evaluates to complete all commands."""

from __future__ import annotations

import os
import sys

from imagewright.cli import completion
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.programs import PROGRAMS
from imagewright.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


def run(invocation: Invocation) -> None:
    """Print the scripts. Raises UsageError for a shell that has none."""
    shell = invocation.arguments["shell"] or os.path.basename(invocation.environment.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(
            "no-completion",
            f"there is no completion for the shell `{shell}`" if shell else "which shell?",
            hint="name one of `bash`, `zsh`, `fish`",
        )
    names = (*(program.name for program in PROGRAMS), "imagewright")
    scripts = [completion.script(name, shell) for name in names]
    if invocation.values["json"]:
        print_document({"shell": shell, "script": "\n".join(scripts)})
    else:
        sys.stdout.write("\n".join(scripts) + "\n")
