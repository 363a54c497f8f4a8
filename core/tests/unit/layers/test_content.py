"""What a layer can change, told from outside the namespace."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.layers.content import may_change

PATHS = ("lib/modules", "usr/lib/modules")


def opaque(folder: Path) -> None:
    folder.mkdir(parents=True)
    try:
        os.setxattr(folder, "user.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this filesystem has no user attributes")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda layer: None, False),
        (lambda layer: (layer / "usr/lib/other").mkdir(parents=True), False),
        (lambda layer: (layer / "srv/lib/modules").mkdir(parents=True), False),
        (lambda layer: (layer / "usr/lib/modules/6.1").mkdir(parents=True), True),
        (lambda layer: (layer / "lib/modules").mkdir(parents=True), True),
        (lambda layer: (layer / "lib").symlink_to("usr/lib"), True),
        (lambda layer: (layer / "usr").write_text("in the folder's place"), True),
        (lambda layer: opaque(layer / "usr/lib"), True),
        (lambda layer: opaque(layer / "usr/share"), False),
    ],
    ids=["empty", "beside", "elsewhere", "a kernel", "of old", "link", "file", "hides those below", "hides others"],
)
def test_a_layer_may_change_what_it_has_or_hides(
    tmp_path: Path, make: Callable[[Path], object], expected: bool
) -> None:
    make(tmp_path)
    assert may_change(tmp_path, PATHS) is expected


def test_a_layer_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert may_change(tmp_path / "none", PATHS) is False


def test_a_whiteout_changes_what_it_hides(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "usr", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("only root may make a whiteout here")
    assert may_change(tmp_path, PATHS) is True


def test_where_the_caller_may_not_look_it_may_change_anything(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may look everywhere")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr").chmod(0)
    try:
        assert may_change(tmp_path, PATHS) is True
    finally:
        (tmp_path / "usr").chmod(0o700)
