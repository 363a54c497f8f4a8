"""The pytest plugin of the testing kit; loaded in every pytest run of the environment, so it imports nothing early.

Fixtures: ``image_kit`` plans and builds (:class:`imagewright.testing.kit.ImageKit`); ``image_boot`` boots what was
built (:class:`imagewright.testing.booting.Booter`); ``init_kit`` runs the init of a ramdisk
(:class:`imagewright.testing.initkit.InitKit`); ``reliability`` counts what a test tried to break
(:class:`imagewright.testing.reliability.Recorder`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imagewright.testing.booting import Booter
    from imagewright.testing.initkit import InitKit
    from imagewright.testing.kit import ImageKit
    from imagewright.testing.reliability import Recorder

pytest.register_assert_rewrite("imagewright.testing.contract")


@pytest.fixture
def image_kit(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ImageKit]:
    """Plan and build images in folders of this test, on the toy operating system unless another one is named."""
    from imagewright.testing.kit import ImageKit

    with ImageKit.open(tmp_path / "image-kit", shared=_shared(request)) as kit:
        yield kit


@pytest.fixture
def image_boot(tmp_path: Path) -> Iterator[Booter]:
    """Boot images in QEMU and run commands in them over ssh; machines that still run at the end are stopped."""
    from imagewright.testing.booting import Booter

    with Booter.open(tmp_path / "image-boot") as booter:
        yield booter


@pytest.fixture
def init_kit(tmp_path: Path) -> InitKit:
    """Run a ramdisk's fragments as process 1 of namespaces; skips where a user may not make them."""
    from imagewright.testing.initkit import InitKit

    reason = InitKit.missing()
    if reason:
        pytest.skip(f"no namespaces with a network of their own here: {reason}")
    folder = tmp_path / "init-kit"
    folder.mkdir()
    return InitKit(folder=folder)


@pytest.fixture
def reliability(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Count faults, inputs and escapes that the test tries; the counts stay in pytest's cache for a report."""
    from imagewright.testing.reliability import FOLDER, Recorder

    recorder = Recorder(test=request.node.nodeid)
    yield recorder
    cache: pytest.Cache | None = getattr(request.config, "cache", None)  # -p no:cacheprovider takes it away
    if cache is not None:
        recorder.write(Path(cache.mkdir(FOLDER)))


def _shared(request: pytest.FixtureRequest) -> Path:
    # what outlives the run: downloads and images of real operating systems
    cache: pytest.Cache | None = getattr(request.config, "cache", None)  # -p no:cacheprovider takes it away
    return Path(cache.mkdir("imagewright")) if cache is not None else request.config.rootpath / ".pytest_cache"
