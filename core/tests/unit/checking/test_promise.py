"""What the contract promises to packs: one of the oldest contract works, and what will go is said with the pack."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from imagewright import api
from imagewright.asking import Panel
from imagewright.checking.subjects import context_of
from imagewright.deprecation import OLDEST_API_VERSION, ContractDeprecation, check_contract
from imagewright.discovery import choose, load
from imagewright.entrypoints import survey
from imagewright.errors import ContractError
from imagewright.flavour import Flavour
from imagewright.types import (
    API_VERSION,
    BinaryDependency,
    InitFragment,
    KernelModules,
    Origin,
    Phase,
    Tree,
    UdevRules,
)

PACK = Path(__file__).parents[4] / "tests/packs/oldest-contract"
ORIGIN = Origin(flavour="mine", distribution="acme-flavours", version="1.2")

# fmt: off
FIRST_CONTRACT = [
    "API_VERSION", "GIB", "MIB", "OPERATING_SYSTEM", "BinaryDependency", "BuildContext", "BuiltImage", "Call",
    "CallContext", "Command", "Entry", "Flavour", "ImagewrightError", "InitFragment", "KernelModules", "Layout",
    "Output", "Package", "PackageManager", "Packages", "Parameter", "Partition", "Phase", "Put", "Script", "Size",
    "Step", "StepFailed", "Tree", "UdevRules", "hookimpl",
]
# fmt: on


def test_the_pack_of_the_oldest_contract_names_it(shelf):
    shelf.project(PACK)
    loaded = load(choose("oldest", survey(shelf.paths)))
    assert loaded.parts[0].api_version == OLDEST_API_VERSION


def test_a_pack_of_the_oldest_contract_is_planned_in_every_phase(shelf):
    shelf.project(PACK)
    prepared = shelf.prepare("oldest", "oldest-system")
    own = {step.phase for step in prepared.plan.steps if step.origin.distribution == "imagewright-test-oldest-contract"}
    # the one transaction is the core's
    assert own == set(Phase) - {Phase.PACKAGES}
    assert prepared.package_manager.name == "oldest"
    assert prepared.plan.packages == ("hello",)


def test_a_pack_of_the_oldest_contract_contributes_to_ramdisks(shelf):
    shelf.project(PACK)
    loaded = load(choose("oldest", survey(shelf.paths)))
    panel, ctx = Panel([loaded]), context_of(loaded)
    given = [getattr(panel, hook)(loaded, ctx)[0] for hook in ("binary_deps", "init", "udev", "modules", "files")]
    assert [type(value) for value in given] == [BinaryDependency, InitFragment, UdevRules, KernelModules, Tree]


def test_a_pack_of_the_present_contract_is_not_warned_of(shelf):
    shelf.project(PACK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(choose("oldest", survey(shelf.paths)))


def test_no_name_of_the_first_contract_was_taken_away():
    assert set(FIRST_CONTRACT) <= set(api.__all__)


def test_a_pack_of_an_older_contract_works_and_is_named():
    class Mine(Flavour):
        api_version = 1

    with pytest.warns(ContractDeprecation, match=r"`mine` of acme-flavours 1\.2 is written for version 1 .* one is 2"):
        check_contract(Mine, ORIGIN, oldest=1, newest=2)


def test_what_the_next_contract_will_not_have_is_named_with_pack_and_replacement():
    class Mine(Flavour):
        reads = ("~/.ssh",)

    wanted = r"`mine` of acme-flavours 1\.2 uses `reads`, which version 2 .*: declare `private` instead"
    with pytest.warns(ContractDeprecation, match=wanted):
        check_contract(Mine, ORIGIN, deprecated={"reads": "declare `private` instead", "programs": "nothing"})


ANNOUNCED = """
import sys
from imagewright import deprecation
deprecation.DEPRECATED = {"post_install": "give the steps to `install`"}
from imagewright.cli import main
sys.argv[0] = "disk-image-create"
main.disk_image_create()
"""


def test_a_removal_that_is_announced_is_one_warning_to_whoever_builds_with_the_pack(shelf):
    shelf.system()
    hook = "@hookimpl\n            def {}(self, ctx): return ()"
    for name, used in (("using", "post_install"), ("modern", "install")):
        source = f"""
        class Own(Flavour):
            api_version = 1
            {hook.format(used)}
        """
        shelf.pack(f"acme-{name}", {name: "Own"}, source, version="1.2")
    path = ":".join(str(folder) for folder in shelf.paths)
    words = ["--plan", "--json", "--skip-base", "--flavour-path", path, "-o", str(shelf.root / "x"), "system"]
    for flavours, warned in ((["modern"], ""), (["modern", "using"], "using")):
        done = subprocess.run(
            [sys.executable, "-c", ANNOUNCED, *words, *flavours], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["operating_system"] == "system"
        lines = done.stderr.splitlines()
        assert len(lines) == (1 if warned else 0), lines
        if warned:
            assert lines[0].startswith(
                "warning: flavour `using` of acme-using 1.2 uses `post_install`, which version 2 of"
            )
            assert lines[0].endswith("will not have: give the steps to `install`")


def test_a_flavour_is_not_warned_of_what_it_only_inherits_from_the_contract(shelf):
    shelf.flavour("mine", "reads = ['~/.ssh']")
    folder = load(choose("mine", survey(shelf.paths)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_contract(type(folder.parts[0]), ORIGIN, deprecated={"install": "nothing"})


@pytest.mark.parametrize(
    ("version", "newest", "message", "hint"),
    [
        (3, 2, "version 3 of the contract, and versions 1 to 2 work here", "acme-flavours imagewright"),
        (0, 2, "version 0 of the contract, and versions 1 to 2 work here", "acme-flavours"),
        (2, 1, "version 2 of the contract, and this is version 1", "acme-flavours imagewright"),
        ("1", 1, "version 1 of the contract", "acme-flavours imagewright"),
    ],
)
def test_a_contract_that_does_not_work_here_is_refused(version, newest, message, hint):
    class Mine(Flavour):
        api_version = version

    with pytest.raises(ContractError) as caught:
        check_contract(Mine, ORIGIN, oldest=1, newest=newest)
    assert message in caught.value.message
    assert caught.value.hint == f"pip install --upgrade {hint}"


def test_the_oldest_contract_is_not_newer_than_the_present_one():
    assert 1 <= OLDEST_API_VERSION <= API_VERSION
