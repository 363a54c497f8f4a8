"""A bench for each process of pytest-xdist: the builders' process, the kit, and the images of clean builds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from imagewright.testing.kit import ImageKit
from imagewright.testing.reliability import Recorder

pytest.register_assert_rewrite("tests.faults.harness")

from .harness import Bench, Builders  # noqa: E402


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("faults")
    builders = Builders(folder)
    try:
        with ImageKit.open(folder / "kit", shared=folder / "shared") as kit:
            bench = Bench(kit, builders)
            bench.prepare()
            yield bench
            # every content of every layer that was kept meanwhile, not only what builds look at
            kit.command("imagewright", "cache", "verify")
    finally:
        builders.close()


@pytest.fixture
def bench(prepared: Bench, reliability: Recorder) -> Bench:
    """The bench, counting for this test."""
    prepared.recorder = reliability
    return prepared
