"""Every compression gives back the content, the same bytes each time, in the form that the kernel takes."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading

import pytest
from imagewright.ramdisk.compression import METHODS, compressing
from imagewright.testing.ramdisks import decompressed

CONTENT = random.Random(7).randbytes(300_000) + b"imagewright " * 2_000_000


def compressed(method: str, pieces: int) -> bytes:
    made = bytearray()
    with compressing(method, made.extend) as write:
        for at in range(0, len(CONTENT), pieces):
            write(CONTENT[at : at + pieces])
    return bytes(made)


@pytest.mark.parametrize("method", METHODS)
def test_the_content_comes_back_and_the_bytes_depend_on_nothing_else(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compressed(method, 1 << 20)
    assert decompressed(first) == CONTENT
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert compressed(method, 777_777) == first
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert compressed(method, len(CONTENT)) == first
    if method != "none":
        assert len(first) < len(CONTENT) // 10


@pytest.mark.parametrize("method", [method for method in METHODS if method != "none"])
def test_the_usual_program_reads_it(method: str) -> None:
    if shutil.which(method) is None:
        pytest.skip(f"{method} is not installed")
    done = subprocess.run([method, "-dc"], input=compressed(method, 1 << 20), capture_output=True, check=True)
    assert done.stdout == CONTENT


def test_nothing_is_something_too() -> None:
    for method in METHODS:
        made = bytearray()
        with compressing(method, made.extend):
            pass
        assert method == "none" or made


def test_a_failure_inside_is_passed_on_and_ends_the_threads() -> None:
    def full(data: bytes) -> None:
        if len(data) > 100:
            raise OSError("full")

    before = threading.active_count()
    with pytest.raises(OSError, match="full"), compressing("gzip", full) as write:
        write(bytes(5 << 20))
    assert threading.active_count() == before
