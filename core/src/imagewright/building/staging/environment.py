"""The variables of the contract, by the place where a step runs."""

from __future__ import annotations

from collections.abc import Mapping

from imagewright.building.state import Building
from imagewright.disk.sizes import given_gib
from imagewright.plan import PlannedStep
from imagewright.planning.keys import LATE
from imagewright.planning.variables import PATH, PROXIES, environment_for, late_environment
from imagewright.sandbox.jobs import TARGET, WORK
from imagewright.types import Phase, Place

LIB_INSIDE = "/run/imagewright/lib"
"""Where a step in the target finds ``_LIB``; ``sudo`` is in its ``bin``."""

HOOKS = "/tmp/in_target.d"  # noqa: S108 - the contract's own path, in the step's private /tmp


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's proxy variables, in both spellings that programs look for."""
    found = {}
    for name in PROXIES:
        value = environment.get(name) or environment.get(name.upper())
        if value:
            found[name] = value
            found[name.upper()] = value
    return found


def variables(building: Building, step: PlannedStep) -> dict[str, str]:
    """Everything that ``step`` finds in its environment."""
    place = step.phase.place
    result = environment_for(building.prepared, step, building.request.environment)
    lib = LIB_INSIDE if place is Place.TARGET else f"{WORK}/lib"
    if place is Place.HOST:
        lib = str(building.folder / "lib")
    elif place is not Place.TARGET:
        result["TARGET_ROOT"] = TARGET
    # sudo of old scripts is a harmless one everywhere: on the host the caller's own would really make them root
    own = building.request.environment.get("PATH", PATH) if place is Place.HOST else PATH
    result["PATH"] = f"{lib}/bin:{own}"
    if place is not Place.HOST:
        result["TERM"] = "dumb"
    if place is Place.HOST or not building.request.offline:
        result |= proxies(building.request.environment)
    result |= {
        "_LIB": lib,
        "SOURCE_DATE_EPOCH": str(building.epoch),
    }
    if step.phase in LATE:
        result |= late_environment(building.prepared.context)
        if not step.step.keep:
            result["IMAGE_ROOT_UUID"] = building.prepared.plan.root_uuid
    if step.phase is Phase.BLOCK_DEVICE_SIZE:
        result["IMAGE_SIZE"] = str(given_gib(building.request.image_size))
    if building.kernel:
        result["IMAGE_KERNEL"] = building.kernel
    return result
