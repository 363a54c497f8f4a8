from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_plugin_imports_nothing_of_the_builder() -> None:
    code = (
        "import sys, imagewright.testing.plugin as p; print(*[m for m in sys.modules if m.startswith('imagewright')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"imagewright", "imagewright.testing", "imagewright.testing.plugin"}


def test_the_fixtures_are_there_without_any_configuration(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text("def test_them(image_kit, image_boot):\n    assert image_kit.plan()\n")
    done = pytest_in(tmp_path)
    assert "1 passed" in done.stdout, done.stdout


GOOD = {
    "flavour.toml": 'summary = "greets"\n[parameters.whom]\nhelp = "whom to greet"\n',
    "install.d/10-greet": "#!/bin/sh\nset -eu\necho hello\n",
    "README.md": "# greeter\n",
}

BAD = {
    "test_the_flavour_has_a_summary_of_one_line": {"flavour.toml": ""},
    "test_parameters_are_explained": {"flavour.toml": 'summary = "greets"\n[parameters.whom]\ntype = "string"\n'},
    "test_a_directory_flavour_has_a_readme": {"README.md": "\n"},
    "test_scripts_pass_shellcheck": {"install.d/10-greet": "#!/bin/sh\nif true\n"},
}

CONTRACT = """
from pathlib import Path
from imagewright.testing.contract import PackContract

class TestContract(PackContract):
    flavours = ("greeter",)
    flavour_path = (Path(__file__).parent / "flavours",)
"""


def contract_of(folder: Path, files: dict[str, str]) -> str:
    for path, content in files.items():
        place = folder / "flavours/greeter" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(0o755 if "/" in path else 0o644)
    (folder / "test_contract.py").write_text(CONTRACT)
    return pytest_in(folder, "-rf", "--tb=no").stdout


def test_a_good_flavour_keeps_the_contract(tmp_path: Path) -> None:
    said = contract_of(tmp_path, GOOD)
    assert "failed" not in said, said
    assert "8 passed" in said, said


def test_every_breach_of_the_contract_fails_its_test_alone(tmp_path: Path) -> None:
    for number, (test, change) in enumerate(BAD.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        said = contract_of(folder, {**GOOD, **change})
        failed = {line.split("::")[2].split("[")[0] for line in said.splitlines() if line.startswith("FAILED")}
        assert failed == {test}, said
