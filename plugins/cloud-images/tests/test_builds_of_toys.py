"""Whole builds from small images: a toy tree in every kind of image that is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .conftest import CAPABILITY


def build(kit: ImageKit, image: Path | str, *flavours: str, system: str = "cloud-image", **options: object) -> Built:
    options.setdefault("skip_base", True)
    return kit.build(*flavours, operating_system=system, base_image_file=str(image), fresh=True, **options)


@pytest.fixture
def built(image_kit: ImageKit, toy_file: Path) -> Built:
    return build(image_kit, toy_file)


def test_owners_modes_capabilities_hard_links_and_times_are_kept(built: Built) -> None:
    assert built.mode("usr/bin/su") == 0o4755
    assert built.owner("etc/shadow") == (0, 42)
    assert (built.mode("var/mail"), built.owner("var/mail")) == (0o2775, (0, 8))
    assert built.owner("var/mail/ann") == (1000, 8)
    assert built.tree.get("usr/bin/ping").attributes["security.capability"] == CAPABILITY
