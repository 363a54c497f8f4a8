from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from imagewright.boot.junit import junit, write_junit
from imagewright.boot.trial import Outcome, Result

RESULT = Result(
    image=Path("/x/web.qcow2"),
    accelerator="kvm",
    outcomes=(
        Outcome(name="login", passed=True, seconds=12.5),
        Outcome(name="test a < b && echo \x1b[1m", passed=False, seconds=0.25, output="first\n\x00\x1b[31mlast\n"),
        Outcome(name="uname", passed=True, seconds=1, output="Linux\n"),
    ),
    console_tail=("login:", "\x07bell"),
)


def test_cases_are_counted_and_timed() -> None:
    suite = ET.fromstring(junit(RESULT))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("3", "1", "13.750")
    assert [case.get("time") for case in suite.findall("testcase")] == ["12.500", "0.250", "1.000"]
    assert {case.get("classname") for case in suite.findall("testcase")} == {"web.qcow2"}


def test_a_failure_says_what_was_printed_last() -> None:
    suite = ET.fromstring(junit(RESULT))[0]
    login, failed, good = suite.findall("testcase")
    assert login.find("failure") is None
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message", "").endswith("last")
    assert "first" in (failure.text or "")
    assert good.findtext("system-out") == "Linux\n"


def test_what_xml_cannot_hold_is_replaced() -> None:
    document = junit(RESULT)
    assert b"\x00" not in document
    assert b"\x1b" not in document
    assert ET.fromstring(document)[0].findtext("system-err") == "login:\n\N{REPLACEMENT CHARACTER}bell"


def test_the_file_appears_whole(tmp_path: Path) -> None:
    write_junit(tmp_path / "report.xml", RESULT)
    assert [path.name for path in tmp_path.iterdir()] == ["report.xml"]
    assert (tmp_path / "report.xml").read_bytes() == junit(RESULT)


def test_the_time_to_login_is_that_of_the_first_outcome() -> None:
    assert RESULT.login_seconds == 12.5
    nobody = Result(image=Path("x"), accelerator="kvm", outcomes=(Outcome(name="login", passed=False, seconds=9),))
    assert nobody.login_seconds is None
    assert not nobody.passed
