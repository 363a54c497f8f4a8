"""A program or a shell in the root tree as it is at a step, with the files and variables that the step itself has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from imagewright.building.packages.private import private_binds
from imagewright.building.staging.environment import HOOKS, LIB_INSIDE, variables
from imagewright.building.staging.hooks import stage_hooks
from imagewright.building.state import Building
from imagewright.building.steps.running import OUTSIDE
from imagewright.errors import ImagewrightError
from imagewright.events import Notice, ShellClosed, ShellOpened
from imagewright.layers.store import TREE
from imagewright.plan import PlannedStep
from imagewright.sandbox.jobs import TARGET, WORK, Bind, Job
from imagewright.sandbox.terminal import Terminal
from imagewright.types import Command, Phase, Script

PASSING = f"shell/{TREE}"
"""The layer that takes what is changed, and goes with the build's work folder."""

_STAGED = "shell"  # among the folders of staged hooks
_SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What shall run in the tree. An empty ``argv`` is a shell, which needs a terminal.

    Without a ``terminal`` what the program prints goes to ``on_output`` line by line, and ``stdin`` is what it reads.
    """

    argv: Sequence[str] = ()
    terminal: Terminal | None = None
    on_output: Callable[[str], None] = print
    stdin: Path | None = None


def visit(building: Building, planned: PlannedStep, wanted: Visit, *, layer: str = PASSING) -> int:
    """Run what is wanted as the step would run; the exit status. ``layer`` takes what is written.

    Raises HostError if the view cannot be made.
    """
    with _job(building, planned, wanted, layer) as job:
        if wanted.terminal is None:
            return building.sandbox.run(replace(job, stdin=wanted.stdin), wanted.on_output)
        building.monitor.handle(ShellOpened(step=planned.name))
        status = 1
        try:
            status = building.sandbox.attach(job, wanted.terminal)
        finally:
            building.monitor.handle(ShellClosed(step=planned.name, status=status))
        return status


def visit_failed(building: Building, planned: PlannedStep, layer: str, error: ImagewrightError) -> None:
    """With ``--shell-on-failure``: a shell in the tree as the failed step left it. The failure itself is the caller's.

    Without a terminal only a notice says that there is none.
    """
    if not building.request.shell_on_failure:
        return
    terminal = Terminal.of_caller()
    if terminal is None:
        _say(building, "no shell is opened: standard input or output is no terminal", warns=True)
        return
    _say(building, f"{planned.name}: {building.masked(error.message)}", warns=True)
    _say(building, f"a shell opens in the root tree as {planned.name} left it; {_where(planned)}")
    _say(building, "nothing that changes there is kept; the build ends with the shell")
    try:
        visit(building, planned, Visit(terminal=terminal), layer=layer)
    except ImagewrightError as trouble:
        _say(building, f"the shell cannot be opened: {building.masked(trouble.message)}", warns=True)


def _say(building: Building, message: str, *, warns: bool = False) -> None:
    building.monitor.handle(Notice(message=message, level="warning" if warns else "info"))


def _where(planned: PlannedStep) -> str:
    if planned.phase in OUTSIDE:
        return f"it is at $TARGET_ROOT, and the flavour's files are at {WORK}/hooks/{_STAGED}"
    script = f"/{planned.phase.folder}/{planned.step.id}" if isinstance(planned.step.action, Script) else ""
    return f"the step's files are at {HOOKS}{script}"


@contextmanager
def _job(building: Building, planned: PlannedStep, wanted: Visit, layer: str) -> Iterator[Job]:
    hooks = stage_hooks(building, planned, _STAGED)
    inside = planned.phase not in OUTSIDE
    action = planned.step.action
    own = action.environment if isinstance(action, Command) else {}
    # a person's terminal is not the dumb one of hooks
    term = building.request.environment.get("TERM", "dumb")
    person = {"TERM": term, "PS1": f"[{planned.name}] \\w # "} if wanted.terminal else {}
    lib = Bind(source=building.folder / "lib", target=LIB_INSIDE)
    try:
        yield Job(
            argv=tuple(wanted.argv) or _SHELL,
            environment={**variables(building, planned), **own, **person},
            stack=building.stack(upper=layer, tools=planned.phase is not Phase.ROOT),
            inside=inside,
            binds=(Bind(source=hooks, target=HOOKS), lib, *private_binds(building)) if inside else (),
            network=not building.request.offline,
            directory="/" if inside else TARGET,
        )
    finally:
        building.sandbox.remove(hooks)
