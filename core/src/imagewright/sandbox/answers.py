"""What the launcher answers, as values and errors."""

from __future__ import annotations

import errno
import os
from typing import Any

from imagewright import errors
from imagewright.errors import HostError, ImagewrightError, StepFailed

DOCTOR = "imagewright doctor says what is wrong and what mends it"


def no_view(result: dict[str, Any]) -> OSError | HostError:
    """The error for a job whose view could not be made, from what its keeper or process 1 said."""
    number, stage, text = result["errno"], result["stage"], result["setup"]
    if number in (errno.ENOSPC, errno.EDQUOT) and stage != "namespaces":
        return OSError(number, os.strerror(number))
    causes = {
        "namespaces": "the kernel, a container or a security module forbids them",
        "files": "something that the step is to see is not there",
        "layers": "the work folder lies on a filesystem that takes no overlay layers, or a layer is not there",
    }
    return HostError(
        "no-sandbox-view",
        f"the sandbox cannot make a step's view of the files: {text}",
        where=(f"stage: {stage}",),
        cause=causes.get(stage, "a container with a masked /proc, or a security module, forbids mounts"),
        hint=f"{DOCTOR}; --work-dir names another folder",
    )


def value_of(result: dict[str, Any], function: str) -> object:
    """What a function returned, from what the worker told of it; raises what it raised."""
    if "value" in result:
        return result["value"]
    if "raised" in result:
        raise _raised(result)
    if result.get("errno"):
        raise OSError(result["errno"], result["broken"], *_two_names(result["files"]))
    raise StepFailed(
        "function-failed",
        f"the function {function} failed: {result['broken']}",
        where=(f"place: {result['place']}",),
    )


def _raised(result: dict[str, Any]) -> ImagewrightError:
    kind = getattr(errors, result["raised"], StepFailed)
    made: ImagewrightError = kind(
        result["reference"],
        result["message"],
        where=tuple(result["where"]),
        cause=result["cause"],
        hint=result["hint"],
        option=result["option"],
    )
    return made


def _two_names(names: list[str]) -> tuple[Any, ...]:
    return (names[0], None, names[1]) if len(names) > 1 else tuple(names)
