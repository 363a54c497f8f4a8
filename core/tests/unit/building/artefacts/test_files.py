"""Digests of finished files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from imagewright.building.artefacts.files import sha256_of

MIB = 1 << 20


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(0, b"x")],
        [(3 * MIB, b"y" * 5000)],
        [(0, b"a" * MIB), (5 * MIB + 4096, b"b" * (2 * MIB + 7)), (9 * MIB, b"c")],
    ],
)
@pytest.mark.parametrize("size", [0, 10 * MIB, 10 * MIB + 123])
def test_the_digest_of_a_file_with_holes_is_that_of_all_its_bytes(
    parts: list[tuple[int, bytes]], size: int, tmp_path: Path
) -> None:
    file = tmp_path / "disk"
    with file.open("wb") as stream:
        for position, data in parts:
            os.pwrite(stream.fileno(), data, position)
        os.ftruncate(stream.fileno(), max(size, os.fstat(stream.fileno()).st_size))
    assert sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()
