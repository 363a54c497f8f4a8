"""Running one step where its phase runs."""

from __future__ import annotations

from pathlib import Path

from imagewright.building.packages.archives import FETCHED, lay_needed, new_needed, store_for
from imagewright.building.packages.locked import locked_folder
from imagewright.building.packages.private import private_binds
from imagewright.building.staging.environment import HOOKS, LIB_INSIDE, variables
from imagewright.building.staging.hooks import stage_hooks
from imagewright.building.staging.trees import write_tree
from imagewright.building.state import Building
from imagewright.errors import ContractError
from imagewright.plan import PlannedStep, digest_of
from imagewright.planning.keys import STATE
from imagewright.sandbox.jobs import TARGET, WORK, Bind, Job, PythonJob, Stack
from imagewright.types import Call, Command, Phase, Put, Script

CACHE = "/run/imagewright/cache"
"""Where a Python step in the tree finds what the caller's cache holds, read only."""

OUTSIDE = (Phase.ROOT, Phase.CLEANUP)
"""The phases of the tree whose steps see it from outside, at ``$TARGET_ROOT``."""

PACKAGES = "/run/imagewright/packages"
"""Where a Python step finds package archives, read only."""

RECORD = "opened.json"
"""The file of the work folder that says what the last step with :attr:`imagewright.types.Step.keep` opened."""

SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh")


def run_in_tree(building: Building, planned: PlannedStep, layer: str) -> None:
    """Run a step that changes the root tree; what it writes becomes the layer ``layer``."""
    action = planned.step.action
    stack = building.stack(upper=layer, tools=planned.phase is not Phase.ROOT)
    environment = variables(building, planned)
    inside = planned.phase not in OUTSIDE
    network = not building.request.offline
    if isinstance(action, Put):
        staged = building.folder / "stage" / layer
        write_tree(action.tree, staged, planned.origin)
        building.sandbox.own(staged)
        arguments = {"source": f"{WORK}/stage/{layer}", "target": TARGET, "at": action.at}
        building.sandbox.call(
            PythonJob(function="imagewright.building.steps.inside:place", arguments=arguments, stack=stack),
            building.output,
        )
        building.sandbox.remove(staged)
    elif isinstance(action, Call):
        packages = _bring(building, planned, action)
        found = _call(building, planned, action.function, target=TARGET, stack=stack, packages=packages)
        if packages is not None:
            building.sandbox.remove(packages)
            building.sandbox.remove(building.folder / FETCHED)
        record(building, planned, action, found)
    else:
        hooks = stage_hooks(building, planned, layer)
        script = f"{HOOKS if inside else f'{WORK}/hooks/{layer}'}/{planned.phase.folder}/{planned.step.id}"
        binds = (
            (
                Bind(source=hooks, target=HOOKS),
                Bind(source=building.folder / "lib", target=LIB_INSIDE),
                *private_binds(building),
            )
            if inside
            else ()
        )
        job = Job(
            argv=argv_of(action, script, trace=building.request.trace),
            environment={**environment, **(action.environment if isinstance(action, Command) else {})},
            stack=stack,
            inside=inside,
            binds=binds,
            network=network,
            record=RECORD if planned.step.keep else "",
        )
        status = building.sandbox.run(job, building.output)
        building.sandbox.remove(hooks)
        if status:
            raise building.failed(name_of(action, planned), status)


def ask(building: Building, planned: PlannedStep) -> dict[str, str]:
    """The fact that the question of a step's call answers. Raises ContractError if the answer is no text."""
    action = planned.step.action
    if not isinstance(action, Call) or not action.asks:
        return {}
    lock = building.prepared.lock
    if lock is not None and STATE in lock.bases:
        # what the source has by now is no matter
        return {STATE: lock.bases[STATE]}
    answer = _call(building, planned, action.asks, target="", stack=None)
    if not isinstance(answer, str):
        raise ContractError(
            "answer-is-no-text",
            f"the function {action.asks} returned {type(answer).__name__} instead of a text",
            where=(f"step: {planned.name}", f"flavour: {planned.origin}"),
        )
    # the text itself may hold addresses with logins
    return {STATE: digest_of(building.facts.get(STATE, ""), answer)}


def _bring(building: Building, planned: PlannedStep, action: Call) -> Path | None:
    """Have the archives fetched that a call needs; the folder in which they lie for it, None if it needs none."""
    if not action.fetches:
        return None
    needed = new_needed(building)
    store = store_for(building)
    names = _call(building, planned, action.fetches, target="", stack=None, packages=store.folder)
    if not isinstance(names, dict) or not all(isinstance(digest, str) for digest in names.values()):
        raise ContractError(
            "archives-not-named",
            f"the function {action.fetches} does not return the digests of archives by their names",
            where=(f"step: {planned.name}", f"flavour: {planned.origin}"),
        )
    lay_needed(building, needed, names)
    return needed


def _call(
    building: Building,
    planned: PlannedStep,
    function: str,
    *,
    target: str,
    stack: Stack | None,
    packages: Path | None = None,
) -> object:
    action = planned.step.action
    assert isinstance(action, Call)
    environment = variables(building, planned)
    arguments: dict[str, object] = {
        "function": function,
        "arguments": dict(action.arguments),
        "environment": environment,
        "cache": CACHE,
        "target": target,
        "facts": needed_facts(building, planned, action),
        "offline": building.request.offline,
        "locked": f"{WORK}/{folder.name}" if (folder := locked_folder(building)) else "",
    }
    binds: tuple[Bind, ...] = ()
    if packages is not None:
        binds = (Bind(source=packages, target=PACKAGES),)
        arguments |= {"packages": PACKAGES, "fetched": f"{WORK}/{FETCHED}"}
    job = PythonJob(
        function="imagewright.building.steps.calling:call_in_tree",
        arguments=arguments,
        environment=environment,
        stack=stack,
        binds=(Bind(source=call_cache(building), target=CACHE), *binds),
        network=not building.request.offline,
    )
    return building.sandbox.call(job, building.output)


def call_cache(building: Building) -> Path:
    """The folder of the cache that calls see: of the downloads only, which mapped root may read."""
    folder = building.request.cache_dir / "downloads"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError:
        # of a cache that cannot be written: a passing one, since not every call has something to keep
        folder = building.folder / "downloads"
        folder.mkdir(exist_ok=True)
    return folder


def needed_facts(building: Building, planned: PlannedStep, action: Call) -> dict[str, str]:
    """The facts that a call needs. Raises ContractError for one that no step has found."""
    for name in action.needs:
        if name not in building.facts:
            raise ContractError(
                "fact-not-found",
                f"the step `{planned.name}` needs the fact `{name}`, which no step before it has found",
                where=(f"flavour: {planned.origin}",),
                cause="the step that finds it was skipped, or does not exist",
            )
    return {name: building.facts[name] for name in action.needs}


def record(building: Building, planned: PlannedStep, action: Call, found: object) -> None:
    """Record the facts that a call returned. Raises ContractError if they are not those that it declares."""
    facts = found if isinstance(found, dict) else {}
    if set(facts) != set(action.finds) or not all(isinstance(value, str) for value in facts.values()):
        raise ContractError(
            "facts-not-as-declared",
            f"the function {action.function} returned other facts than its step declares",
            where=(f"step: {planned.name}", f"flavour: {planned.origin}"),
            cause=f"declared: {', '.join(action.finds) or 'none'}; returned: {', '.join(map(str, facts)) or 'none'}",
        )
    for name, value in facts.items():
        building.fact(name, value)


def run_on_disk(building: Building, planned: PlannedStep, device: str) -> str:
    """Run a block-device script on the disk file as mapped root; return what it printed."""
    name = f"{planned.phase}-{planned.step.id}"
    hooks = stage_hooks(building, planned, name)
    printed: list[str] = []

    def take(line: str) -> None:
        printed.append(line)
        building.output(line)

    script = f"{WORK}/hooks/{name}/{planned.phase.folder}/{planned.step.id}"
    job = Job(
        argv=argv_of(planned.step.action, script, trace=building.request.trace),
        environment={**variables(building, planned), "IMAGE_BLOCK_DEVICE": device},
        stack=building.stack(tools=False),
        network=not building.request.offline,
    )
    status = building.sandbox.run(job, take)
    building.sandbox.remove(hooks)
    if status:
        raise building.failed(name_of(planned.step.action, planned), status)
    return "\n".join(printed)


def argv_of(action: object, script: str, *, trace: bool) -> tuple[str, ...]:
    """What starts a script or a command; with ``trace`` a shell shows each line of a script as it runs it."""
    if isinstance(action, Command):
        return action.argv
    if not isinstance(action, Script):
        raise ContractError("step-action", f"{type(action).__name__} cannot run in this phase")
    if trace:
        first = action.content.split(b"\n", 1)[0].decode(errors="replace")
        words = first[2:].split() if first.startswith("#!") else []
        if words and words[0].endswith("/env"):
            words = words[1:]
        if words and words[0].rsplit("/", 1)[-1] in SHELLS:
            return (*words, "-x", script)
    return (script,)


def name_of(action: object, planned: PlannedStep) -> str:
    """What an error calls the program of a step."""
    if isinstance(action, Command):
        return f"the command {action.argv[0]}"
    source = action.source if isinstance(action, Script) else None
    return f"the script {source or planned.name}"
