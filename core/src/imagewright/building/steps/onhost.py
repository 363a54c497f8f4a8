"""Steps that run as the caller on the host, each in a process of its own that does not outlive the builder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from imagewright.building.staging.trees import write_tree
from imagewright.building.state import Building
from imagewright.building.steps import hostcall
from imagewright.building.steps.hostviews import scratch, view_of
from imagewright.building.steps.running import argv_of, call_cache, name_of, needed_facts, record
from imagewright.plan import PlannedStep
from imagewright.planning.keys import merged_hooks
from imagewright.sandbox import guard, hostview
from imagewright.sandbox.answers import value_of
from imagewright.sandbox.limits import Limits
from imagewright.sandbox.lines import follow
from imagewright.types import Call, Script


def run_on_host(building: Building, planned: PlannedStep, environment: Mapping[str, str]) -> str:
    """Run a step as the caller, on the host; return what it printed."""
    action = planned.step.action
    folder = building.folder / "host" / f"{planned.phase}-{planned.step.id}"
    if isinstance(action, Call):
        folder.mkdir(parents=True)
        record(building, planned, action, _call(building, planned, action, environment, folder))
        return ""
    if isinstance(action, Script):
        # beside its data files and what its flavour's other phases have, as the merged tree has it
        write_tree(merged_hooks(building.prepared.plan, planned.origin.flavour), folder, planned.origin)
    else:
        folder.mkdir(parents=True, exist_ok=True)
    script = str(folder / planned.phase.folder / planned.step.id)
    argv = argv_of(action, script, trace=building.request.trace)
    printed: list[str] = []

    def take(line: str) -> None:
        printed.append(line)
        building.output(line)

    with building.sandbox.namespaces() as namespaces, scratch(folder) as own:
        view = view_of(building, planned, environment, folder=folder, scratch=own, namespaces=namespaces)
        program = (sys.executable, "-I", "-S", hostview.__file__, json.dumps(view), *argv)
        descriptors = tuple(namespaces.values())
        status = _guarded(program, environment, folder, take, building.sandbox.limits, descriptors=descriptors)
    if status:
        raise building.failed(name_of(action, planned), status)
    return "\n".join(printed)


def _call(
    building: Building, planned: PlannedStep, action: Call, environment: Mapping[str, str], folder: Path
) -> object:
    """Call a step's function; what it returns. Raises the ImagewrightError that it raises, or StepFailed."""
    document = {
        "path": [str(Path(entry).absolute()) for entry in sys.path if entry],
        "function": "imagewright.building.steps.calling:call_on_host",
        "environment": dict(environment),
        "arguments": {
            "function": action.function,
            "arguments": dict(action.arguments),
            "environment": dict(environment),
            "cache": str(call_cache(building)),
            "facts": needed_facts(building, planned, action),
            "offline": building.request.offline,
        },
    }
    # files without a name: arguments may be secret, and a pipe for the answer could fill up
    with tempfile.TemporaryFile(dir=folder) as asked, tempfile.TemporaryFile(dir=folder) as answer:
        asked.write(json.dumps(document).encode())
        asked.seek(0)
        argv = (sys.executable, "-I", hostcall.__file__, str(answer.fileno()))
        limits = building.sandbox.limits
        status = _guarded(argv, environment, folder, building.output, limits, asked, (answer.fileno(),))
        answer.seek(0)
        text = answer.read()
    result: dict[str, Any] | None = json.loads(text) if text else None
    if result is None:
        raise building.failed(f"the function {action.function}", status or 1)
    return value_of(result, action.function)


def _guarded(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    take: Callable[[str], None],
    limits: Limits,
    stdin: IO[bytes] | None = None,
    descriptors: Sequence[int] = (),
) -> int:
    """Run a program below the guard, which ends with us, and with it all that the step started; its exit status.

    Raises StepFailed if it takes or prints more than it may.
    """
    told, tell = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(told), *argv],
            env=environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            umask=0o022,
            pass_fds=(told, *descriptors),
            # ^C of the terminal reaches the build alone
            start_new_session=True,
        )
    except BaseException:
        os.close(tell)
        raise
    finally:
        os.close(told)
    with process:
        try:
            assert process.stdout is not None
            follow(process.stdout.fileno(), None, take, limits)
        finally:
            os.close(tell)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode
