"""The plan as a document: for ``--plan``, ``--json`` and the manifest. Secrets are masked."""

from __future__ import annotations

from typing import Any

from imagewright.plan import CORE, ChosenFlavour, Plan, PlannedStep
from imagewright.planning.coresteps import RESOLVE
from imagewright.planning.keys import DISK_SIZE, EXTRA_DATA, PACKAGE_VERSIONS, masked
from imagewright.planning.parameters import Secret
from imagewright.planning.prepared import Prepared
from imagewright.types import Action, Call, Command, Layout, Origin, Packages, Partition, Phase, Put, Script, Size

SCHEMA = 1


def plan_document(prepared: Prepared) -> dict[str, Any]:
    """Everything a plan says, as plain values that JSON can carry."""
    plan, secrets = prepared.plan, prepared.secrets
    return {
        "schema": SCHEMA,
        "image": prepared.context.image_name,
        "arch": prepared.context.arch,
        "release": prepared.context.release,
        "operating_system": plan.operating_system,
        "package_manager": plan.package_manager,
        "digest": plan.digest,
        "flavours": [_flavour(flavour) for flavour in plan.flavours],
        "packages": [{"name": name, "wanted_by": list(prepared.wanted.get(name, ()))} for name in plan.packages],
        "repositories": [one.document() for one in prepared.repositories],
        "skipped": list(plan.skipped),
        "overridden": [{"flavour": name, "place": place} for name, place in plan.overridden],
        "facts": _facts(prepared.plan),
        "steps": [_step(step, secrets) for step in plan.steps],
    }


def without_places(document: Any) -> Any:
    """A plan's document without the folders that flavours lie in: they are the builder's, and so not in manifests."""
    if isinstance(document, dict):
        return {name: "" if name == "place" else without_places(value) for name, value in document.items()}
    return [without_places(value) for value in document] if isinstance(document, list) else document


def _facts(plan: Plan) -> dict[str, list[str]]:
    """For each fact that some step depends on, the steps that find it out."""
    found_by = {
        EXTRA_DATA: [step.name for step in plan.of(Phase.EXTRA_DATA)],
        PACKAGE_VERSIONS: [f"{Phase.PACKAGES}/{RESOLVE}"],
        DISK_SIZE: [step.name for step in plan.of(Phase.BLOCK_DEVICE_SIZE)],
    }
    for step in plan.steps:
        if isinstance(step.step.action, Call):
            found_by |= {name: [*found_by.get(name, []), step.name] for name in step.step.action.finds}
    names = dict.fromkeys(fact for step in plan.steps for fact in step.facts)
    return {name: found_by.get(name, []) for name in names}


def _flavour(flavour: ChosenFlavour) -> dict[str, Any]:
    return {
        "name": flavour.name,
        "summary": flavour.summary,
        **_origin(flavour.origin),
        "requires": list(flavour.requires),
        "provides": list(flavour.provides),
        "parameters": {name: "***" if isinstance(value, Secret) else value for name, value in flavour.values},
        "reads": list(flavour.reads),
        "allows": list(flavour.allows),
    }


def _origin(origin: Origin) -> dict[str, str]:
    if origin == CORE:
        from imagewright import __version__

        return {"distribution": origin.distribution, "version": __version__, "place": ""}
    return {"distribution": origin.distribution, "version": origin.version, "place": origin.location}


def _step(planned: PlannedStep, secrets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "phase": planned.phase.value,
        "id": planned.step.id,
        "flavour": planned.origin.flavour,
        **_origin(planned.origin),
        "summary": masked(planned.step.summary, secrets),
        "action": masked(describe(planned.step.action), secrets),
        "key": planned.key,
        "depends_on": list(planned.facts),
    }


def describe(action: Action) -> str:
    """What a step does, in a few words."""
    match action:
        case Script():
            return "script"
        case Command():
            return f"command: {' '.join(action.argv)}"
        case Packages():
            return f"packages: {len(action.names)}"
        case Put():
            files = sum(entry.kind == "file" for entry in action.tree.entries)
            return f"puts {files} {'file' if files == 1 else 'files'} at {action.at}"
        case Call():
            return f"call: {action.function}"
        case Size():
            upper = f", at most {action.maximum} bytes" if action.maximum is not None else ""
            reason = f" ({action.reason})" if action.reason else ""
            return f"size: at least {action.minimum} bytes{upper}{reason}"
        case Partition():
            return f"partition: {action.name}, {action.size} bytes"
        case Layout():
            loader = f", boot loader {action.boot_loader}" if action.boot_loader else ""
            return f"partitions: {', '.join(one.name for one in action.partitions)}{loader}"
