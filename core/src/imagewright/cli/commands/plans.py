"""``--plan``: what a build would do, as a table for people or as a document."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from imagewright.cli.messages import print_document
from imagewright.cli.tables import screen_width, table, terms
from imagewright.planning import Prepared, plan_document, prepare
from imagewright.request import Request


def print_plan(request: Request, *, as_json: bool) -> None:
    """Plan and print. Raises ImagewrightError if there is no plan."""
    document = plan_of(request, prepare(request))
    if as_json:
        print_document(document)
    else:
        sys.stdout.write(page(document))


def plan_of(request: Request, prepared: Prepared) -> dict[str, Any]:
    """The plan's document, with what will become of its steps."""
    document = plan_document(prepared)
    foretell(document, request, prepared)
    return document


def foretell(document: dict[str, Any], request: Request, prepared: Prepared) -> None:
    """Add to the steps of a plan's document what will become of them."""
    from imagewright.building.tree.forecast import forecast

    prospects = forecast(request, prepared)
    for step in document["steps"]:
        prospect = prospects[f"{step['phase']}/{step['id']}"]
        step |= {"status": prospect.status, "status_on": prospect.on, "why": prospect.why}


def page(plan: Mapping[str, Any]) -> str:
    """The plan's document for people."""
    facts = [
        ("image", f"{plan['image']}, {plan['arch']}"),
        ("operating system", f"{plan['operating_system']} {plan['release']}".strip()),
        ("flavours", ", ".join(flavour["name"] for flavour in plan["flavours"])),
        ("packages", ", ".join(package["name"] for package in plan["packages"])),
        ("repositories", ", ".join(f"{one['address']} of {one['given_by']}" for one in plan["repositories"])),
        ("switched off", ", ".join(plan["skipped"])),
        ("replaced", ", ".join(f"{one['flavour']} by {one['place']}" for one in plan["overridden"])),
        ("digest", plan["digest"]),
    ]
    # a plan of the manifest has no prospects
    foretold = any("status" in step for step in plan["steps"])
    head = ("PHASE", "STEP", *(("STATUS",) if foretold else ()), "FLAVOUR", "FROM", "DEPENDS ON", "WHAT")
    return (
        table(("", ""), [fact for fact in facts if fact[1]])
        + "\n"
        + table(head, [_row(step, foretold=foretold) for step in plan["steps"]])
        + ("\n" + terms(_reasons(plan), screen_width(), indent="") if _reasons(plan) else "")
    )


def _reasons(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why steps of the tree run although layers may be kept; one line for those that follow another."""
    return [
        (f"{step['phase']}/{step['id']}", f"runs: {step['why']}")
        for step in plan["steps"]
        if step.get("status") == "run" and step["why"] and not step["why"].endswith(("before it", "build", "image"))
    ]


def _row(step: Mapping[str, Any], *, foretold: bool) -> tuple[str, ...]:
    status = {"depends": f"depends on {step.get('status_on', '')}"}.get(step.get("status", ""), step.get("status", ""))
    return (
        step["phase"],
        step["id"],
        *((status,) if foretold else ()),
        step["flavour"],
        f"{step['distribution']} {step['version']}".strip() or step["place"],
        ", ".join(step["depends_on"]),
        step["summary"] or step["action"],
    )
