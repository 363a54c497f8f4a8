"""The root tree as it is before or after a step, from kept layers and what must be run for it."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from imagewright.building.host.checks import check_host, source_date_epoch
from imagewright.building.steps.entering import Visit, visit
from imagewright.building.steps.hostside import extra_data
from imagewright.building.tree.growing import TREE_PHASES, grow, opened, phase_counts, work_parent
from imagewright.errors import UsageError
from imagewright.events import BuildStarted, Monitor, Notice
from imagewright.plan import Plan, PlannedStep
from imagewright.planning import prepare
from imagewright.request import Request
from imagewright.types import Phase


def enter(request: Request, step: str, wanted: Visit, monitor: Monitor, *, log: Path, after: bool = False) -> int:
    """Grow the tree of a disk image up to ``step``, as ``PHASE/NN-name``, and run what is wanted there.

    Steps whose layers are kept are found, the others run and are kept as in a build. What the program changes is
    gone afterwards. Returns its exit status. Raises UsageError if the plan has no such step of the tree, and
    ImagewrightError as a build does.
    """
    # nothing is written, so that nothing is needed for writing it
    request = replace(request, types=())
    prepared = prepare(request)
    planned = _step(prepared.plan, step)
    source_date_epoch(request.environment)
    check_host(request, prepared, work_parent(request))
    phases = [phase.value for phase in TREE_PHASES[: TREE_PHASES.index(planned.phase) + 1]]
    with opened(request, prepared, monitor, log=log) as building:
        counts = [one for one in phase_counts(prepared) if one[0] in (Phase.EXTRA_DATA, *phases)]
        monitor.handle(BuildStarted(image=prepared.context.image_name, phases=tuple(counts), log=log))
        extra_data(building)
        grow(building, until=planned, including=after)
        when = "after" if after else "before"
        message = f"this is the root tree {when} {planned.name}; nothing that changes there is kept"
        monitor.handle(Notice(message=message))
        return visit(building, planned, wanted)


def _step(plan: Plan, wanted: str) -> PlannedStep:
    steps = {step.name: step for step in plan.steps}
    of_tree = [step.name for phase in TREE_PHASES for step in plan.of(phase)]
    if wanted in of_tree:
        return steps[wanted]
    if wanted in steps:
        last = f"; `--after {of_tree[-1]}` is the finished tree" if of_tree else ""
        raise UsageError(
            "no-step-of-the-tree",
            f"the step `{wanted}` runs in no root tree",
            cause=f"steps of {steps[wanted].phase} run elsewhere",
            hint=f"name a step of {', '.join(TREE_PHASES[:-1])} or {TREE_PHASES[-1]}{last}",
        )
    near = get_close_matches(wanted, of_tree, 1, 0.4)
    raise UsageError(
        "unknown-step",
        f"the build has no step `{wanted}`",
        cause=f"did you mean {near[0]}?" if near else "",
        hint="--plan of the build shows all steps",
    )
