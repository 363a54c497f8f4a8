"""What is checked: flavours by their folder, a folder of them, or their name; anything else is refused."""

from __future__ import annotations

import pytest
from imagewright.checking import checked
from imagewright.errors import PlanError, UsageError


def test_a_folder_of_flavours_is_checked_flavour_by_flavour(tmp_path):
    for name, summary in (("one", "one line"), ("two", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("# mine\n\nWhat it is for.\n")
        (tmp_path / name / "flavour.toml").write_text(f'summary = "{summary}"\n')
    report = checked([str(tmp_path)])
    assert report.flavours == ("one", "two")
    assert [(finding.subject, finding.rule) for finding in report.findings] == [("two", "missing-summary")]


@pytest.mark.parametrize("target", ["/nonexistent/x", "./empty", "./file", "./project"])
def test_what_holds_no_flavour_is_refused(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(UsageError) as caught:
        checked([target])
    assert caught.value.reference == "nothing-to-check"


def test_an_unknown_name_is_an_error_of_the_plan():
    with pytest.raises(PlanError):
        checked(["no-such-flavour-at-all"])
