"""What a step may not reach, and what may not be told."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("phase", ["cleanup.d", "block-device.d"])
def test_a_step_outside_the_tree_cannot_write_the_callers_home(image_kit, phase):
    trace = Path.home() / ".imagewright-was-here"
    # the step reports what it found, so that a step that never ran is no proof; it has an empty home of its own
    image_kit.flavour(
        "intruder",
        {f"{phase}/50-intrude": f"#!/bin/sh\necho home: $(stat -f -c %T {Path.home()})\necho x >{trace}\n"},
    )
    built = image_kit.build("intruder", types=("raw",))
    assert not trace.exists()
    assert "home: tmpfs\n" in built.log


def test_each_line_of_a_secret_is_masked_in_the_log(image_kit):
    image_kit.flavour(
        "keeper",
        {
            "flavour.toml": "[parameters.token]\nsecret = true\n",
            "install.d/50-say": '#!/bin/sh\nprintf "%s\\n" "$KEEPER_TOKEN"\necho said\n',
        },
    )
    built = image_kit.build("keeper", types=("tar",), settings=(("keeper", "token", "first-half\nother-half"),))
    log = built.log.read_text() if isinstance(built.log, Path) else str(built.log)
    assert "said" in log
    assert "first-half" not in log
    assert "other-half" not in log


def test_the_id_of_an_image_is_a_word_that_a_shell_can_read(image_kit):
    built = image_kit.build(types=("tar",), output="my image")
    line = next(line for line in built.read("usr/lib/os-release").splitlines() if "IMAGE_ID" in str(line))
    assert "my-image" in str(line)
