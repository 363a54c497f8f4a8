from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from imagewright.checking import checked
from imagewright.errors import HostError, UsageError
from imagewright.templates import Kind, files_of, write

BIN = Path(sys.executable).parent
NAMES = ["greeting", "acme-agent", "three_d", "3com", "none", "flavour", "path", "step"]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_has_no_findings(tmp_path, kind, name):
    report = checked([str(write(kind, name, tmp_path))])
    assert report.flavours == (name,)
    assert report.findings == ()


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_left_to_fill_in(kind):
    for entry in files_of(kind, "greeting").entries:
        assert not re.search(r"@[A-Z_]+@", entry.path + entry.content.decode())


@pytest.mark.parametrize("kind", [Kind.SCRIPT_PACK, Kind.PYTHON_PACK])
@pytest.mark.parametrize("name", NAMES)
def test_the_python_of_a_pack_is_in_order(tmp_path, kind, name):
    made = write(kind, name, tmp_path)
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [BIN / "ruff", *words, "--isolated", "--line-length", "120", "--no-cache", made],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", [Kind.SCRIPT_PACK, Kind.PYTHON_PACK])
def test_a_pack_passes_its_own_tests_and_builds(tmp_path, kind):
    made = write(kind, "greeting", tmp_path)
    environment = installed(made, tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "t"],
        cwd=made,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b1[0-9] passed\b", done.stdout)


def installed(pack: Path, tree: Path) -> dict[str, str]:
    """Lay a pack out as pip would; return the environment in which it is installed."""
    project = tomllib.loads((pack / "pyproject.toml").read_text())["project"]
    shutil.copytree(pack / "src", tree)
    information = tree / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["imagewright.flavours"]
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (information / "entry_points.txt").write_text(f"[imagewright.flavours]\n{lines}")
    records = [str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()]
    (information / "RECORD").write_text("".join(f"{record},,\n" for record in [*records, f"{information.name}/RECORD"]))
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "greeting").mkdir()
    with pytest.raises(UsageError) as caught:
        write(Kind.FOLDER, "greeting", tmp_path)
    assert caught.value.reference == "already-there"
    assert list((tmp_path / "greeting").iterdir()) == []
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError):
        write(Kind.FOLDER, "link", tmp_path)


@pytest.mark.parametrize("name", ["Greeting", "a.b", "", "-a", "a--b", "a/b", "../a"])
def test_a_name_that_no_flavour_can_have_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        write(Kind.SCRIPT_PACK, name, tmp_path)
    assert caught.value.reference == "bad-flavour-name"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(UsageError) as caught:
        write(Kind.FOLDER, "greeting", tmp_path / "missing")
    assert caught.value.reference == "no-such-directory"


def test_what_cannot_be_written_is_no_traceback_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HostError, match="cannot be written"):
        write(Kind.FOLDER, "greeting", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_modes_are_those_that_the_callers_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        made = write(Kind.FOLDER, "greeting", tmp_path)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in made.rglob("*")} == {
        "README.md": 0o640,
        "flavour.toml": 0o640,
        "install.d": 0o750,
        "50-greeting": 0o750,
        "notes": 0o640,
    }
    assert made.stat().st_mode & 0o777 == 0o750


# -- the command


def new(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "imagewright", "flavours", "new", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "TERM": "dumb"},
    )


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ([], "greeting/install.d/50-greeting"),
        (["--script"], "greeting/flavour.toml"),
        (["--pack"], "imagewright-flavours-greeting/src/imagewright_flavours_greeting/greeting/flavour.toml"),
        (["--python"], "imagewright-flavours-greeting/src/imagewright_flavours_greeting/__init__.py"),
        (["--python", "--pack"], "imagewright-flavours-greeting/pyproject.toml"),
    ],
)
def test_the_command_prints_the_path_and_what_comes_next(tmp_path, words, made):
    done = new("greeting", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == made.partition("/")[0] + "\n"
    assert (tmp_path / made).is_file()
    assert "imagewright flavours check" in done.stderr
    assert new("greeting", *words, cwd=tmp_path).returncode == 2


def test_a_name_that_a_flavour_has_already_is_said(tmp_path):
    done = new("vm", cwd=tmp_path)
    assert done.returncode == 0
    assert "note: imagewright-flavours-standard has a flavour `vm` already" in done.stderr
    assert "--override vm=vm" in done.stderr


def test_the_command_makes_it_in_another_folder_and_says_so_in_json(tmp_path):
    (tmp_path / "flavours").mkdir()
    document = json.loads(new("greeting", "--directory", "flavours", "--json", cwd=tmp_path).stdout)
    assert (document["schema"], document["flavour"], document["kind"]) == (1, "greeting", "folder")
    assert (tmp_path / document["path"]).is_dir()


@pytest.mark.parametrize(("words", "message"), [([], "name?"), (["a", "--script", "--python"], "exclude each other")])
def test_a_wrong_use_is_explained(tmp_path, words, message):
    done = new(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
