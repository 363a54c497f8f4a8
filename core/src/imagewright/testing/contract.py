"""Contract tests that a flavour pack runs on itself.

::

    from imagewright.testing.contract import PackContract

    class TestContract(PackContract):
        flavours = ("mellanox",)
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from imagewright.flavour import OPERATING_SYSTEM
from imagewright.plan import ChosenFlavour, Plan
from imagewright.types import Script

if TYPE_CHECKING:
    from imagewright.testing.kit import ImageKit

SHELLS = ("sh", "bash", "dash", "ksh")


class PackContract:
    """Subclass it in a test module of the pack and name the pack's ``flavours``.

    ``with_flavours`` are named before each of them, for a flavour that needs another operating system than the toy
    (then ``operating_system`` is that) or company. ``settings`` maps ``flavour.parameter`` to a value, for parameters
    that are required. ``flavour_path`` holds folders of directory flavours that are not installed.
    """

    flavours: ClassVar[tuple[str, ...]] = ()
    operating_system: ClassVar[str] = "toy"
    with_flavours: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[dict[str, str]] = {}
    flavour_path: ClassVar[tuple[Path, ...]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run every test once per flavour."""
        if "flavour" in metafunc.fixturenames:
            metafunc.parametrize("flavour", self.flavours)

    def planned(self, kit: ImageKit, flavour: str) -> Plan:
        """The plan of a build with the flavour."""
        return kit.plan(
            *self.with_flavours,
            flavour,
            operating_system=self.operating_system if flavour != self.operating_system else "",
            settings=self.settings,
            flavour_path=(*kit.flavour_path, *self.flavour_path),
        )

    def chosen(self, kit: ImageKit, flavour: str) -> ChosenFlavour:
        """The flavour in its plan."""
        found = self.planned(kit, flavour).flavour(flavour)
        assert found is not None, f"the plan has no flavour {flavour}"
        return found

    def test_the_pack_names_its_flavours(self) -> None:
        """A contract of no flavour would prove nothing."""
        assert self.flavours, "name the pack's flavours: flavours = ('…',)"

    def test_the_flavour_is_planned(self, flavour: str, image_kit: ImageKit) -> None:
        """It loads, alone with its operating system, and is the one that was asked for."""
        assert self.chosen(image_kit, flavour).name == flavour

    def test_the_flavour_has_a_summary_of_one_line(self, flavour: str, image_kit: ImageKit) -> None:
        """``imagewright flavours list`` shows it."""
        summary = self.chosen(image_kit, flavour).summary
        assert summary, "give the class or flavour.toml a summary"
        assert summary == summary.strip(), "the summary has spaces at an end"
        assert "\n" not in summary, "the summary has more than one line"

    def test_the_plan_is_the_same_each_time(self, flavour: str, image_kit: ImageKit) -> None:
        """Hooks declare: neither the moment nor the order of a set changes what they return."""
        first, second = self.planned(image_kit, flavour), self.planned(image_kit, flavour)
        assert [step.key for step in first.steps] == [step.key for step in second.steps]

    def test_the_flavour_contributes_something(self, flavour: str, image_kit: ImageKit) -> None:
        """Steps, packages, other flavours, or parts of a ramdisk; a hook that is never asked shows here."""
        plan = self.planned(image_kit, flavour)
        chosen = plan.flavour(flavour)
        assert chosen is not None
        own = [step for step in plan.steps if step.origin.flavour == flavour]
        if own or chosen.requires or OPERATING_SYSTEM in chosen.provides:
            return
        ramdisk = image_kit.ramdisk_plan(
            flavour,
            operating_system=self.operating_system,
            settings=self.settings,
            flavour_path=(*image_kit.flavour_path, *self.flavour_path),
        )
        given = (ramdisk.executables, ramdisk.modules, ramdisk.files)
        assert any(one.flavour == flavour for one in ramdisk.fragments) or any(
            who == flavour for values in given for _, who in values
        ), "the flavour changes nothing, neither in images nor in ramdisks"

    def test_parameters_are_explained(self, flavour: str, image_kit: ImageKit) -> None:
        """Each has a help text; a secret one has no default, which everybody could read."""
        for parameter in self.chosen(image_kit, flavour).parameters:
            assert parameter.help, f"the parameter {parameter.name} has no help text"
            assert not (parameter.secret and parameter.default), f"the secret {parameter.name} has a default"
            assert not (parameter.required and parameter.default is not None), (
                f"the parameter {parameter.name} is required and has a default"
            )

    def test_a_directory_flavour_has_a_readme(self, flavour: str, image_kit: ImageKit) -> None:
        """``imagewright flavours show`` shows it: what the flavour is for."""
        origin = self.chosen(image_kit, flavour).origin
        if not origin.distribution:
            readme = Path(origin.location, "README.md")
            assert readme.is_file(), f"write {readme}"
            assert readme.read_text().strip(), f"{readme} is empty"

    def test_scripts_pass_shellcheck(self, flavour: str, image_kit: ImageKit, tmp_path: Path) -> None:
        """The warnings of shellcheck, if it is installed; at least the shell can read every script."""
        checker = shutil.which("shellcheck")
        for name, script in self.scripts(image_kit, flavour):
            shell = _shell(script)
            if not shell:
                continue
            copy = tmp_path / name.replace("/", "-")
            copy.write_bytes(script.content)
            known = shell if shutil.which(shell) else "sh"
            argv = [checker, "--severity=warning", "--shell", shell, str(copy)] if checker else [known, "-n", str(copy)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    def scripts(self, kit: ImageKit, flavour: str) -> tuple[tuple[str, Script], ...]:
        """The flavour's own scripts, with their names in the plan."""
        return tuple(
            (step.name, step.step.action)
            for step in self.planned(kit, flavour).steps
            if step.origin.flavour == flavour and isinstance(step.step.action, Script)
        )


def _shell(script: Script) -> str:
    words = script.content.split(b"\n", 1)[0].decode(errors="replace").removeprefix("#!").split()
    if words and words[0].endswith("/env"):
        words = words[1:]
    shell = words[0].rpartition("/")[2] if words else ""
    return shell if shell in SHELLS else ""
