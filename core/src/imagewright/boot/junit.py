"""The outcomes of a trial as JUnit XML, in the dialect that CI systems read.

https://github.com/testmoapp/junitxml describes it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from imagewright.boot.trial import Result

# What XML 1.0 can hold; programs print other things too.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: Result) -> bytes:
    """The document, UTF-8."""
    outcomes = result.outcomes
    failures = sum(not outcome.passed for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    totals = {"tests": str(len(outcomes)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}
    suites = ET.Element("testsuites", totals)
    suite = ET.SubElement(suites, "testsuite", {"name": "imagewright boot", "skipped": "0", **totals})
    for outcome in outcomes:
        case = ET.SubElement(
            suite,
            "testcase",
            {"classname": _text(result.image.name), "name": _text(outcome.name), "time": f"{outcome.seconds:.3f}"},
        )
        if not outcome.passed:
            message = (outcome.output.strip().splitlines() or ["failed"])[-1]
            ET.SubElement(case, "failure", {"message": _text(message)}).text = _text(outcome.output)
        elif outcome.output:
            ET.SubElement(case, "system-out").text = _text(outcome.output)
    if result.console_tail:
        ET.SubElement(suite, "system-err").text = _text("\n".join(result.console_tail))
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def write_junit(path: Path, result: Result) -> None:
    """Write the document to ``path``; it appears by rename. Raises OSError if it cannot."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(junit(result))
    partial.replace(path)


def _text(value: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)
