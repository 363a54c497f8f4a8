"""What runs on the host as the caller: extra data, and sizes that fold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagewright.errors import ContractError, PlanError, StepFailed
from imagewright.testing.kit import ImageKit

from .conftest import Probed

GIB = 2**30


def test_extra_data_arrives_readable_whatever_the_callers_umask(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "carrier",
        {
            "extra-data.d/10-bring": "#!/bin/sh\nset -eu\nmkdir $TMP_HOOKS_PATH/deep\n"
            "echo one >$TMP_HOOKS_PATH/deep/file\ncp /bin/true $TMP_HOOKS_PATH/deep/tool\n",
            "install.d/10-take": "#!/bin/sh\nset -eu\ncp -a /tmp/in_target.d/deep /deep\n",
        },
    )
    before = os.umask(0o077)
    try:
        built = image_kit.build("carrier")
    finally:
        os.umask(before)
    assert built.read("deep/file") == "one\n"
    assert built.mode("deep") == 0o755
    assert built.mode("deep/file") == 0o644
    assert built.mode("deep/tool") == 0o755
    assert built.owner("deep/file") == (0, 0)


def test_extra_data_runs_as_the_caller(probed: Probed) -> None:
    assert probed.answers.get("extra-data", "uid") == str(os.getuid())


def test_the_artefacts_are_readable_whatever_the_callers_umask(probed: Probed) -> None:
    for path in probed.built.paths:
        assert path.stat().st_uid == os.getuid()
        assert path.stat().st_mode & 0o400


def size_flavour(kit: ImageKit, name: str, printed: str) -> None:
    kit.flavour(name, {f"block-device-size.d/10-{name}": f"#!/bin/sh\n{printed}\n"})


def test_a_printed_size_of_at_least_the_input_is_a_minimum(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "large", "echo IMAGE_SIZE=3")
    assert image_kit.build("large", types="raw").path("raw").stat().st_size == 3 * GIB


def test_a_printed_size_below_the_input_is_a_maximum(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "small", "echo IMAGE_SIZE=1")
    assert image_kit.build("small", types="raw").path("raw").stat().st_size == GIB


def test_every_script_is_told_the_same_size(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "one", 'echo "one sees $IMAGE_SIZE"; echo IMAGE_SIZE=5')
    size_flavour(image_kit, "two", 'echo "two sees $IMAGE_SIZE"')
    log = image_kit.build("one", "two").log
    assert "one sees 2" in log
    assert "two sees 2" in log


def test_of_several_minima_the_largest_counts(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "three", "echo IMAGE_SIZE=3")
    size_flavour(image_kit, "four", "echo IMAGE_SIZE=4")
    error = image_kit.fails("four", "three", types="raw", image_size=2 * GIB, kind=PlanError, match="at least 4 GiB")
    assert "four" in str(error)


def test_a_conflict_of_sizes_names_both_sides_before_any_work(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "large", "echo IMAGE_SIZE=9")
    size_flavour(image_kit, "small", "echo IMAGE_SIZE=1")
    error = image_kit.fails("large", "small", types="raw", kind=PlanError)
    assert "large" in str(error)
    assert "small" in str(error)


def test_a_size_beyond_what_the_user_asked_for_names_both_sides(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "large", "echo IMAGE_SIZE=9")
    image_kit.fails("large", types="raw", image_size=2 * GIB, kind=PlanError, match=r"large[\s\S]*--image-size")


def test_what_a_script_prints_is_never_evaluated(image_kit: ImageKit, tmp_path: Path) -> None:
    evidence = tmp_path / "evaluated"
    size_flavour(image_kit, "sly", f"echo 'IMAGE_SIZE=$(touch {evidence}; echo 4)'")
    image_kit.fails("sly", types="raw", kind=ContractError, match="sly")
    assert not evidence.exists()


def test_a_size_script_that_fails_stops_the_build(image_kit: ImageKit) -> None:
    size_flavour(image_kit, "unwell", "echo no idea; exit 3")
    error = image_kit.fails("unwell", types="raw", kind=StepFailed, match="exit status 3")
    assert "no idea" in str(error)


@pytest.mark.parametrize("gib", [0.5, 1.25])
def test_the_image_has_exactly_the_size_that_was_asked_for(image_kit: ImageKit, gib: float) -> None:
    built = image_kit.build(types="raw", image_size=int(gib * GIB))
    assert built.path("raw").stat().st_size == int(gib * GIB)


def test_too_small_an_image_is_refused(image_kit: ImageKit) -> None:
    image_kit.fails(types="raw", image_size=2**20, match="size")
