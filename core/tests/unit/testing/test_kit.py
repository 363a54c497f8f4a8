from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from imagewright.errors import PlanError
from imagewright.testing.kit import ImageKit


def test_a_flavours_scripts_are_executable_and_its_data_is_not(image_kit: ImageKit) -> None:
    folder = image_kit.flavour(
        "greeter", {"install.d/10-greet": "#!/bin/sh\n", "install.d/text": "hi", "README.md": ("# Greeter\n", 0o600)}
    )
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {"10-greet": 0o755, "text": 0o644, "README.md": 0o600}


def test_a_written_flavour_is_planned_on_the_toy_operating_system(image_kit: ImageKit) -> None:
    image_kit.flavour("greeter", {"install.d/10-greet": "#!/bin/sh\n"})
    plan = image_kit.plan("greeter")
    assert plan.operating_system == "toy"
    assert "install/10-greet" in [step.name for step in plan.steps]


def test_a_written_pack_is_found_with_its_distribution_and_version(image_kit: ImageKit) -> None:
    source = """
        from imagewright.api import Flavour, Packages, Step, hookimpl

        class Greeter(Flavour):
            summary = "greets"

            @hookimpl
            def packages(self, ctx):
                return (Step(id="10-hello", action=Packages(names=("hello",))),)
    """
    image_kit.pack("kit-greeter-pack", source, {"greeter": "Greeter"}, version="1.2")
    plan = image_kit.plan("greeter")
    chosen = plan.flavour("greeter")
    assert chosen is not None
    assert (chosen.origin.distribution, chosen.origin.version) == ("kit-greeter-pack", "1.2")
    assert "hello" in plan.packages


def test_settings_reach_parameters(image_kit: ImageKit) -> None:
    image_kit.flavour("greeter", {"flavour.toml": '[parameters.whom]\nhelp = "whom to greet"\n'})
    chosen = image_kit.plan("greeter", settings={"greeter.whom": "everybody"}).flavour("greeter")
    assert chosen is not None
    assert dict(chosen.values) == {"whom": "everybody"}


def test_a_variable_of_the_testers_sets_no_parameter(image_kit: ImageKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHOM", "the tester")
    image_kit.flavour("greeter", {"flavour.toml": '[parameters.whom]\nhelp = "whom to greet"\n'})
    chosen = image_kit.plan("greeter").flavour("greeter")
    assert chosen is not None
    assert dict(chosen.values).get("whom") is None


def test_an_expected_failure_is_returned(image_kit: ImageKit) -> None:
    error = image_kit.fails("no-such-flavour", match="no-such-flavour", kind=PlanError)
    assert error.exit_code == 3


def test_an_expected_failure_of_another_text_is_an_assertion(image_kit: ImageKit) -> None:
    with pytest.raises(AssertionError, match="does not match"):
        image_kit.fails("no-such-flavour", match="something else")


def test_the_toy_operating_system_is_no_flavour_of_the_environment() -> None:
    from imagewright.entrypoints import survey

    assert "toy" not in survey().names


def test_the_kit_leaves_its_folders_removable(tmp_path: Path) -> None:
    with ImageKit.open(tmp_path / "kit", shared=tmp_path / "shared") as kit:
        (kit.cache / "packages").mkdir()
        (kit.cache / "packages/archive").write_text("")
    assert not any(kit.cache.iterdir())
    assert not any(kit.work.iterdir())


def test_an_image_of_another_operating_system_is_built_once_and_kept_while_nothing_changes(
    image_kit: ImageKit, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    script = folder / "rootlet/root.d/10-root"
    script.parent.mkdir(parents=True)
    (folder / "rootlet/flavour.toml").write_text('provides = ["operating-system"]\n')
    # words that no earlier run of the test can have left in the cache
    for word in (f"one {tmp_path.name} {os.getpid()} {time.time()}", f"two {time.time()}"):
        script.write_text(f'#!/bin/sh\nset -eu\nmkdir "$TARGET_ROOT/etc"\necho {word} >"$TARGET_ROOT/etc/word"\n')
        script.chmod(0o755)
        options = {"operating_system": "", "skip_base": True, "flavour_path": (folder,), "types": "tar"}
        first = image_kit.build("rootlet", **options)
        again = image_kit.build("rootlet", **options)
        assert "root/10-root" in first.steps
        assert again.steps == ()
        assert (again.path("tar"), again.seconds) == (first.path("tar"), first.seconds)
        assert again.read("etc/word") == f"{word}\n"
