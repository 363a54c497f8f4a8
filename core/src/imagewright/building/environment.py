"""The variables of the contract, by the place where a step runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from imagewright.building.state import Building
from imagewright.plan import PlannedStep
from imagewright.planning.variables import environment_for
from imagewright.sandbox.jobs import TARGET, WORK
from imagewright.types import GIB, Phase, Place

LIB_INSIDE = "/run/imagewright/lib"
"""Where a step in the target finds ``_LIB``; ``sudo`` is in its ``bin``."""

HOOKS = "/tmp/in_target.d"  # noqa: S108 - the contract's own path, in the step's private /tmp

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's proxy variables, in both spellings that programs look for."""
    found = {}
    for name in _PROXIES:
        value = environment.get(name) or environment.get(name.upper())
        if value:
            found[name] = value
            found[name.upper()] = value
    return found


def whole_gib(size: int) -> int:
    """A size in bytes as whole GiB, rounded up, as ``IMAGE_SIZE`` says it."""
    return -(-size // GIB)


def variables(building: Building, step: PlannedStep) -> dict[str, str]:
    """Everything that ``step`` finds in its environment."""
    place = step.phase.place
    result: dict[str, str] = {}
    if place is Place.HOST:
        # the caller's own: extra-data may use what they can use
        result |= {name: value for name, value in building.request.environment.items() if name not in ("CDPATH", "ENV")}
        result["PATH"] = f"{building.folder / 'lib/bin'}:{os.environ.get('PATH', _PATH)}"
        result["_LIB"] = str(building.folder / "lib")
    elif place is Place.TARGET:
        result |= {"HOME": "/root", "USER": "root", "LOGNAME": "root", "TERM": "dumb"}
        result |= {"DEBIAN_FRONTEND": "noninteractive", "PATH": f"{LIB_INSIDE}/bin:{_PATH}", "_LIB": LIB_INSIDE}
    else:
        result |= {"HOME": "/", "USER": "root", "LOGNAME": "root", "TERM": "dumb"}
        result |= {"PATH": f"{WORK}/lib/bin:{_PATH}", "_LIB": f"{WORK}/lib", "TARGET_ROOT": TARGET}
    if not building.request.offline:
        result |= proxies(building.request.environment)
    result |= environment_for(building.prepared, step)
    result |= {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(building.epoch),
        "IMAGE_ROOT_UUID": root_uuid(building),
        "IMAGE_ROOT_LABEL": building.request.root_label,
        "IMAGE_KERNEL_ARGUMENTS": building.request.kernel_arguments,
    }
    if step.phase is Phase.BLOCK_DEVICE_SIZE:
        result["IMAGE_SIZE"] = str(whole_gib(building.image_size))
    if building.kernel:
        result["IMAGE_KERNEL"] = building.kernel
    return result


def root_uuid(building: Building) -> str:
    """The UUID that the root filesystem will have: it depends on the plan alone."""
    return building.prepared.plan.seeded_uuid("root filesystem")
