"""What a Python step finds out is recorded, reaches the steps that need it, and is in their keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.errors import ContractError
from imagewright.testing.kit import ImageKit

MODULE = """
    from pathlib import Path

    from imagewright.api import Call, Flavour, Step, hookimpl

    class Finder(Flavour):
        summary = "finds a fact"

        @hookimpl
        def extra_data(self, ctx):
            return (Step(id="10-find", action=Call(function="{module}:find", finds=("weather",))),)

        @hookimpl
        def cleanup(self, ctx):
            return (Step(id="10-use", action=Call(function="{module}:use", needs=("{needs}",))),)

    def find(ctx):
        ctx.report("looking out of the window")
        (ctx.cache / "kept").write_text("rain")
        return {found}

    def use(ctx):
        (ctx.target_root / "weather").write_text(ctx.facts["weather"] + " " + (ctx.cache / "kept").read_text())
        try:
            (ctx.cache / "kept").write_text("sun")
        except OSError:
            return
        raise AssertionError("mapped root wrote into the cache")
"""


def finder(kit: ImageKit, module: str, *, found: str = '{"weather": "wet"}', needs: str = "weather") -> None:
    source = MODULE.replace("{module}", module).replace("{found}", found).replace("{needs}", needs)
    kit.pack(module.replace("_", "-"), source, {"finder": "Finder"})


def test_a_fact_reaches_the_step_that_needs_it_and_the_manifest(image_kit: ImageKit) -> None:
    finder(image_kit, "finder_one")
    built = image_kit.build("finder")
    assert built.read("weather") == "wet rain"
    assert built.manifest["facts"]["weather"] == "wet"
    assert "looking out of the window" in built.log


def test_the_plan_says_which_step_depends_on_the_fact_and_who_finds_it(image_kit: ImageKit) -> None:
    from imagewright.planning.display import plan_document

    finder(image_kit, "finder_two")
    document = plan_document(image_kit.prepare("finder"))
    assert document["facts"]["weather"] == ["extra-data/10-find"]
    dependent = [step["id"] for step in document["steps"] if "weather" in step["depends_on"]]
    assert dependent[0] == "10-use"


@pytest.mark.parametrize("found", ["None", '{"weather": 3}', '{"weather": "wet", "wind": "strong"}'])
def test_facts_other_than_those_declared_are_refused(image_kit: ImageKit, found: str) -> None:
    finder(image_kit, f"finder_{len(found)}", found=found)
    image_kit.fails("finder", kind=ContractError, match="other facts than its step declares")


def test_a_fact_that_no_step_finds_is_named(image_kit: ImageKit) -> None:
    finder(image_kit, "finder_three", needs="tide")
    image_kit.fails("finder", kind=ContractError, match="needs the fact `tide`")


def test_what_calls_see_of_the_cache_is_the_downloads_alone(image_kit: ImageKit) -> None:
    finder(image_kit, "finder_four")
    image_kit.build("finder")
    assert Path(image_kit.cache, "downloads", "kept").read_text() == "rain"
