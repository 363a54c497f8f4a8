"""Keys of real plans: what of a request, a flavour's files and the caller's data counts, and from which step on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from imagewright.building.steps.hostside import _described
from imagewright.building.tree.growing import TREE_PHASES
from imagewright.building.tree.layerkeys import LayerKeys
from imagewright.plan import Plan, PlannedStep, digest_of
from imagewright.planning import Prepared
from imagewright.planning import prepare as planned
from imagewright.planning.keys import EXTRA_DATA, PACKAGE_VERSIONS
from imagewright.request import Request
from imagewright.testing.kit import ImageKit, own_import_path
from imagewright.types import GIB

SH = "#!/bin/sh\n"

FLAVOURS = {
    "alpha": {
        "extra-data.d/10-data": SH,
        "pre-install.d/10-alpha": SH,
        "install.d/10-alpha": SH,
        "install.d/helpers/beside": "1",
        "finalise.d/10-alpha": SH,
        "flavour.toml": '[parameters.word]\ndefault = "a"\n',
    },
    "beta": {"install.d/20-beta": SH, "post-install.d/20-beta": SH, "flavour.toml": '[parameters.word]\ndefault="b"\n'},
    "gamma": {"install.d/30-gamma": SH, "cleanup.d/30-gamma": SH, "static/etc/gamma": "1", "flavour.toml": ""},
}

HYPOTHESIS = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    for name, files in FLAVOURS.items():
        image_kit.flavour(name, files)
    return image_kit


def prepare(request: Request) -> Prepared:
    with own_import_path():
        return planned(request)


def tree_steps(plan: Plan) -> list[PlannedStep]:
    return [step for phase in TREE_PHASES for step in plan.of(phase)]


def layer_keys(prepared: Prepared, facts: dict[str, str], epoch: int = 0) -> dict[str, str | None]:
    keys = LayerKeys(prepared, b"salt")
    return {step.name: keys.layer(step, facts, epoch) for step in tree_steps(prepared.plan)}


FACTS = {EXTRA_DATA: "data", PACKAGE_VERSIONS: "versions"}


def first_changed(before: Prepared, after: Prepared, facts: dict[str, str] | None = None) -> str:
    """The step from which on all layers have other keys, and before which none has; empty if all are the same."""
    one, two = layer_keys(before, FACTS), layer_keys(after, facts or FACTS)
    common = [name for name in one if name in two]
    changed = [name for name in common if one[name] != two[name]]
    assert changed == common[len(common) - len(changed) :], "a later key is the same although an earlier one is not"
    return changed[0] if changed else ""


Change = tuple[str, Callable[[Request], dict[str, Any]], str]

CHANGES: tuple[Change, ...] = (
    ("architecture", lambda request: {"arch": "arm64"}, "root/10-busybox"),
    ("release", lambda request: {"release": "other"}, "root/10-busybox"),
    ("name", lambda request: {"output": request.output.with_name("other")}, "root/10-busybox"),
    ("package", lambda request: {"packages": ("hello",)}, "packages/10-resolve"),
    ("parameter of alpha", lambda request: {"settings": (("alpha", "word", "x"),)}, "pre-install/10-alpha"),
    ("parameter of beta", lambda request: {"settings": (("beta", "word", "x"),)}, "install/20-beta"),
    ("skip", lambda request: {"skips": ("alpha:install/10-alpha",)}, "install/20-beta"),
    ("label", lambda request: {"root_label": "x"}, "finalise/10-alpha"),
    ("kernel arguments", lambda request: {"kernel_arguments": "quiet"}, "finalise/10-alpha"),
    ("order", lambda request: {"flavours": ("toy", "gamma", "beta", "alpha")}, ""),
    ("size", lambda request: {"image_size": 3 * GIB}, ""),
    ("types", lambda request: {"types": ("raw", "qcow2")}, ""),
    ("cache", lambda request: {"cache_dir": Path("/elsewhere")}, ""),
    ("work folder", lambda request: {"work_dir": Path("/elsewhere")}, ""),
    ("trace", lambda request: {"trace": True}, ""),
    ("offline", lambda request: {"offline": True}, ""),
    ("refresh", lambda request: {"refresh": True}, ""),
    ("start", lambda request: {"start_from": "install"}, ""),
    ("shell", lambda request: {"shell_on_failure": True}, ""),
    ("proxy", lambda request: {"environment": {**request.environment, "http_proxy": "http://proxy:1"}}, ""),
    ("caller", lambda request: {"environment": {**request.environment, "HOME": "/elsewhere", "LANG": "xx"}}, ""),
)


@pytest.mark.parametrize(("change", "first"), [(one[1], one[2]) for one in CHANGES], ids=[one[0] for one in CHANGES])
def test_what_of_a_request_counts_does_so_from_its_step_on(
    kit: ImageKit, change: Callable[[Request], dict[str, Any]], first: str
) -> None:
    request = kit.request("alpha", "beta", "gamma")
    assert first_changed(prepare(request), prepare(replace(request, **change(request)))) == first


@HYPOTHESIS
@given(chosen=st.lists(st.sampled_from(CHANGES), min_size=2, max_size=6, unique_by=lambda one: one[0]))
def test_of_several_changes_the_earliest_step_counts(kit: ImageKit, chosen: list[Change]) -> None:
    # the two together are refused
    assume(not {"offline", "refresh"} <= {name for name, _change, _first in chosen})
    request = kit.request("alpha", "beta", "gamma")
    changes: dict[str, Any] = {}
    for _name, change, _first in chosen:
        for field, value in change(request).items():
            changes[field] = (*changes.get(field, ()), *value) if field == "settings" else value
    before, after = prepare(request), prepare(replace(request, **changes))
    names = [step.name for step in tree_steps(before.plan)]
    firsts = [first for _name, _change, first in chosen if first]
    expected = min(firsts, key=names.index, default="")
    assert first_changed(before, after) == expected


def paths() -> list[tuple[str, str]]:
    """Every file of the flavours with the step from which on it counts."""
    firsts = {"alpha": "pre-install/10-alpha", "beta": "install/20-beta", "gamma": "install/00-static-gamma"}
    found = []
    for flavour, files in FLAVOURS.items():
        for path in files:
            if path == "flavour.toml":
                continue
            # scripts see all files of their flavour; what static/ holds is put, and seen by no script before
            found.append((f"{flavour}/{path}", firsts[flavour]))
    return found


@HYPOTHESIS
@given(which=st.sampled_from(paths()), change=st.sampled_from(["content", "run", "private"]), text=st.text("abc"))
def test_a_changed_file_of_a_flavour_counts_from_the_first_step_that_sees_it(
    kit: ImageKit, which: tuple[str, str], change: str, text: str
) -> None:
    path, first = kit.flavours / which[0], which[1]
    before = kit.prepare("alpha", "beta", "gamma")
    content, mode = path.read_bytes(), path.stat().st_mode
    runs = bool(mode & 0o100)
    try:
        if change == "content":
            path.write_bytes(content + f"# {text}\n".encode())
        else:
            path.chmod((0o711 if runs else 0o600) if change == "private" else 0o755)
        os.utime(path, (1, 1))
        after = kit.prepare("alpha", "beta", "gamma")
    finally:
        path.write_bytes(content)
        path.chmod(mode)
    names = [one.name for one in tree_steps(before.plan)]
    # whether it can be run is all of a mode that counts: the others are those of a checkout's umask
    same = change == "private" or (change == "run" and runs)
    assert first_changed(before, after) == ("" if same else _seen_first(which[0], first, names))


def _seen_first(path: str, first: str, names: list[str]) -> str:
    if path.startswith("gamma/") and not path.startswith("gamma/static"):
        # the step that puts static/ in place sees none of the scripts
        return next(name for name in names[names.index(first) + 1 :] if name.endswith("-gamma"))
    return first


# -- the caller's data

NAMES = st.sampled_from(["a", "b", "a/c", "a/d", "e/f", "e"])
ENTRIES = st.one_of(
    st.tuples(st.just("file"), st.sampled_from([0o644, 0o600, 0o755, 0o4755]), st.binary(max_size=3)),
    st.tuples(st.just("link"), st.just(0), st.sampled_from([b"x", b"/etc/passwd", b"../a"])),
)
TREES = st.dictionaries(NAMES, ENTRIES, max_size=4)


def lay(folder: Path, tree: dict[str, tuple[str, int, bytes]], order: list[str]) -> dict[str, tuple[str, int, bytes]]:
    """Write a tree in an order; what of it there is in the end, since a file may be in a folder's way."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    laid = {}
    for name in order:
        kind, mode, content = tree[name]
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "link":
                path.symlink_to(content.decode())
            else:
                with path.open("xb") as stream:
                    stream.write(content)
                path.chmod(mode)
        except (FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError):
            continue
        laid[name] = tree[name]
    return laid


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=TREES, two=TREES, data=st.data())
def test_data_of_the_caller_count_by_paths_kinds_modes_and_contents_alone(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any], data: st.DataObject
) -> None:
    # half of the time the second tree is the first with one thing changed, or in another order
    if one and data.draw(st.booleans()):
        two = {**one, **dict(data.draw(st.lists(st.tuples(NAMES, ENTRIES), max_size=1)))}
    folders = tmp_path / "one", tmp_path / "two"
    laid = [
        lay(folder, tree, data.draw(st.permutations(sorted(tree))))
        for folder, tree in zip(folders, (one, two), strict=True)
    ]
    # when files were written is nothing that a step should see
    os.utime(folders[1], (1, 1))
    digests = [digest_of(_described(folder)) for folder in folders]
    assert (digests[0] == digests[1]) == (laid[0] == laid[1])


@HYPOTHESIS
@given(data=st.text("ab", max_size=2), versions=st.text("ab", max_size=2))
def test_what_the_world_answers_counts_from_the_first_step_that_depends_on_it(
    kit: ImageKit, data: str, versions: str
) -> None:
    prepared = kit.prepare("alpha", "beta", "gamma")
    facts = {EXTRA_DATA: data, PACKAGE_VERSIONS: versions}
    firsts = {EXTRA_DATA: "pre-install/10-alpha", PACKAGE_VERSIONS: "packages/20-install"}
    names = [step.name for step in tree_steps(prepared.plan)]
    changed = [first for fact, first in firsts.items() if facts[fact] != FACTS[fact]]
    assert first_changed(prepared, prepared, facts) == min(changed, key=names.index, default="")
    # and what is not known yet leaves open exactly those
    for fact, first in firsts.items():
        known = layer_keys(prepared, {name: value for name, value in FACTS.items() if name != fact})
        assert [name for name in names if known[name] is None] == names[names.index(first) :]
