"""The order of the steps of one phase."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from imagewright.errors import PlanError
from imagewright.types import Origin, Phase, Step

Given = tuple[Step, Origin]
T = TypeVar("T")


def ordered(phase: Phase, steps: Sequence[Given]) -> tuple[Given, ...]:
    """Sort by number, then name, then the declared edges; an edge to a step that is not there is ignored.

    Raises PlanError for an id that two flavours use and for edges in a circle.
    """
    by_id: dict[str, Given] = {}
    for step, origin in steps:
        if step.id in by_id:
            raise _twice(phase, step, by_id[step.id][1], origin)
        by_id[step.id] = (step, origin)
    before: dict[str, set[str]] = {step.id: set() for step, _ in steps}
    for step, _ in steps:
        before[step.id] |= step.after & by_id.keys()
        for later in step.before & by_id.keys():
            before[later].add(step.id)
    sorter = TopologicalSorter({name: sorted(before[name]) for name in sorted(before)})
    try:
        sorter.prepare()
    except CycleError as error:
        path: list[str] = error.args[1]
        raise PlanError(
            "step-cycle",
            f"steps of the phase {phase} must each come before the next, in a circle: {' → '.join(path)}",
            where=tuple(f"{phase}/{name} of {by_id[name][1]}" for name in dict.fromkeys(path)),
            hint=f"--skip {by_id[path[0]][1].flavour}:{phase}/{path[0]}",
        ) from None
    result: list[Given] = []
    ready = list(sorter.get_ready())
    heapq.heapify(ready)
    while ready:
        name = heapq.heappop(ready)
        result.append(by_id[name])
        sorter.done(name)
        for following in sorter.get_ready():
            heapq.heappush(ready, following)
    return tuple(result)


def _twice(phase: Phase, step: Step, first: Origin, second: Origin) -> PlanError:
    if first.flavour == second.flavour:
        message = f"flavour `{first.flavour}` gives the step `{phase}/{step.id}` twice"
    else:
        message = f"flavours `{first.flavour}` and `{second.flavour}` both give the step `{phase}/{step.id}`"
    return PlanError(
        "same-step-twice",
        message,
        where=tuple(dict.fromkeys((str(first), str(second)))),
        cause="the ids of all steps of a phase differ, because their files lie in one folder",
        hint=f"--skip {second.flavour}:{phase}/{step.id}",
    )
