"""``--plan``: what a build would do, as a table for people or as a document."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from imagewright.cli.messages import print_document
from imagewright.cli.tables import table
from imagewright.planning import plan_document, prepare
from imagewright.request import Request


def print_plan(request: Request, *, as_json: bool) -> None:
    """Plan and print. Raises ImagewrightError if there is no plan."""
    document = plan_document(prepare(request))
    if as_json:
        print_document(document)
    else:
        sys.stdout.write(page(document))


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
    head = ("PHASE", "STEP", "FLAVOUR", "FROM", "DEPENDS ON", "WHAT")
    return (
        table(("", ""), [fact for fact in facts if fact[1]])
        + "\n"
        + table(head, [_row(step) for step in plan["steps"]])
    )


def _row(step: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        step["phase"],
        step["id"],
        step["flavour"],
        f"{step['distribution']} {step['version']}".strip() or step["place"],
        ", ".join(step["depends_on"]),
        step["summary"] or step["action"],
    )
