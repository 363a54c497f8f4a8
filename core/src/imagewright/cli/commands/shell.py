"""``imagewright shell``: a shell, or a command, in the root tree as it is at a step."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import typer

from imagewright.cli.commands.building import build_logged
from imagewright.cli.commands.disk_image import request_of
from imagewright.cli.commands.logs import LogFile
from imagewright.cli.invocation import Invocation
from imagewright.cli.render.choose import display
from imagewright.errors import UsageError
from imagewright.events import Monitor
from imagewright.sandbox.terminal import Terminal


def run(invocation: Invocation) -> None:
    """Enter the tree. Raises ImagewrightError, and typer.Exit with a command's exit status if that is not 0."""
    from imagewright.building.steps.entering import Visit
    from imagewright.building.tree.visiting import enter

    argv: tuple[str, ...] = invocation.arguments["argv"]
    step = invocation.arguments["step"]
    terminal = Terminal.of_caller()
    if not step:
        raise UsageError("no-step", "no step was named", hint=f"`{invocation.program} install/10-modules debian vm`")
    if not argv and terminal is None:
        raise UsageError(
            "no-terminal",
            "a shell needs a terminal, and standard input or output is none",
            hint=f"name a command: `{invocation.program} {shlex.quote(step)} FLAVOUR... -- COMMAND`",
        )
    request = request_of(invocation)
    after = invocation.values["after"]
    wanted = Visit(argv=argv, terminal=terminal, on_output=_show, stdin=_stdin())
    log = LogFile.choose(invocation.values["log-file"], request.cache_dir, f"{request.output.name}-shell")
    invocation.screen.log = log.path

    def visited(monitor: Monitor, path: Path) -> int:
        return enter(request, step, wanted, monitor, log=path, after=after)

    with display(invocation.values["progress"], invocation.environment) as shown:
        status = build_logged(visited, shown, log)
    # of a shell only the last command's would be known
    if argv and status:
        raise typer.Exit(status)


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stdin() -> Path | None:
    """The caller's standard input, unless it is a terminal, which no command is given."""
    try:
        return None if os.isatty(0) else Path("/dev/stdin") if os.path.exists("/dev/stdin") else None
    except OSError:
        return None
