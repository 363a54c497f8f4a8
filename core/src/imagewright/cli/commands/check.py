"""``imagewright flavours check``: the linter's findings, for people and for programs."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer

from imagewright.checking import Finding, Report, checked
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.errors import UsageError


def run(invocation: Invocation) -> None:
    """Print the findings; exit code 1 if one of them is an error, with ``--strict`` if there is any at all.

    Raises UsageError without anything to check.
    """
    targets, values = invocation.arguments["targets"], invocation.values
    if not targets:
        raise UsageError(
            "nothing-to-check",
            "what is to be checked?",
            hint="name the folder of a flavour or of a pack, or a flavour: imagewright flavours check .",
        )
    report = checked(targets, values["flavour-path"], values["override"])
    if values["json"]:
        print_document(
            {
                "flavours": report.flavours,
                "errors": report.errors,
                "warnings": report.warnings,
                "shellcheck": report.shellcheck,
                "findings": [asdict(finding) for finding in report.findings],
            }
        )
    else:
        sys.stdout.write("".join(_paragraph(finding) for finding in report.findings) + _summary(report))
        if not report.shellcheck:
            sys.stderr.write("note: shellcheck is not installed, so no script was checked with it\n")
    if report.errors or (values["strict"] and report.findings):
        raise typer.Exit(1)


def _paragraph(finding: Finding) -> str:
    return (
        f"{finding.place}: {finding.level}: {finding.message} [{finding.rule}]\n"
        f"  why: {finding.reason}\n"
        f"  fix: {finding.fix}\n"
    )


def _summary(report: Report) -> str:
    checked_ones = f"{_counted(len(report.flavours), 'flavour')} checked"
    if not report.findings:
        return f"{checked_ones}: no findings\n"
    return f"{checked_ones}: {_counted(report.errors, 'error')}, {_counted(report.warnings, 'warning')}\n"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
