from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IMAGEWRIGHT = Path(sys.executable).with_name("imagewright")


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "TERM": "dumb", **variables}
    return subprocess.run(
        [IMAGEWRIGHT, "flavours", "check", *words], cwd=cwd, capture_output=True, text=True, env=environment
    )


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A flavour with an error and a warning."""
    (tmp_path / "mine/install.d").mkdir(parents=True)
    (tmp_path / "mine/README.md").write_text("# mine\n")
    (tmp_path / "mine/flavour.toml").write_text('summary = "mine"\n')
    script = tmp_path / "mine/install.d/10-a"
    script.write_text("#!/bin/sh\nset -eu\nuname -r\nwget http://x\n")
    script.chmod(0o755)
    return tmp_path / "mine"


def test_each_finding_has_its_place_rule_reason_and_fix(mine, tmp_path):
    done = run("mine/", cwd=tmp_path)
    assert done.returncode == 1
    assert "mine/install.d/10-a:3: error: `uname -r`" in done.stdout
    assert "[running-kernel]\n  why: " in done.stdout
    assert '\n  fix: use "$IMAGE_KERNEL"\n' in done.stdout
    assert done.stdout.endswith("1 flavour checked: 1 error, 1 warning\n")


def test_warnings_alone_fail_only_on_request(mine, tmp_path):
    script = mine / "install.d/10-a"
    script.write_text(script.read_text().replace("uname -r\n", ""))
    assert run("mine/", cwd=tmp_path).returncode == 0
    assert run("mine/", "--strict", cwd=tmp_path).returncode == 1


def test_the_document_holds_the_same(mine, tmp_path):
    done = run("mine/", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert (document["schema"], document["flavours"], document["errors"], document["warnings"]) == (1, ["mine"], 1, 1)
    assert document["shellcheck"] is (shutil.which("shellcheck") is not None)
    error = next(finding for finding in document["findings"] if finding["level"] == "error")
    assert (error["rule"], error["file"], error["line"]) == ("running-kernel", "mine/install.d/10-a", 3)
    assert error["reason"]
    assert error["fix"]


def test_a_flavour_is_checked_by_name_too(mine, tmp_path):
    done = run("mine", cwd=tmp_path, FLAVOURS_PATH=str(tmp_path))
    assert f"{mine}/install.d/10-a:3: error" in done.stdout


def test_without_shellcheck_the_command_says_so(mine, tmp_path):
    done = run("mine/", cwd=tmp_path, PATH="/nonexistent")
    assert done.stderr == "note: shellcheck is not installed, so no script was checked with it\n"
    assert json.loads(run("mine/", "--json", cwd=tmp_path, PATH="/nonexistent").stdout)["shellcheck"] is False


def test_nothing_to_check_is_a_wrong_use(tmp_path):
    done = run(cwd=tmp_path)
    assert done.returncode == 2
    assert "what is to be checked?" in done.stderr


def test_a_warning_about_a_contract_is_one_line_without_the_place_in_our_code(tmp_path):
    code = (
        "import sys, warnings\n"
        "from imagewright.cli import boundary\n"
        "from imagewright.deprecation import ContractDeprecation\n"
        "def make():\n    warnings.warn('flavour `x` of y 1 is old', ContractDeprecation)\n"
        "    raise KeyboardInterrupt\n"
        "sys.exit(boundary.run('x', make, []))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[0] == "warning: flavour `x` of y 1 is old"
