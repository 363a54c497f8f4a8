"""What the pack promises: each flavour is found by its name and says what it is for."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["deploy", "deploy-http", "hwburnin", "hwdiscovery"])
def test_the_flavour_is_planned_with_a_summary(name, image_kit):
    chosen = image_kit.plan(name, operating_system="debian").flavour(name)
    assert chosen.origin.distribution == "imagewright-flavours-ramdisks"
    assert chosen.summary
