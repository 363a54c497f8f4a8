"""Which of two kernels is the newer one, by their versions as distributions write them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from imagewright.reading.versions import order

RISING = [
    ("6.1.0-9-amd64", "6.1.0-18-amd64", "6.1.0-100-amd64", "6.1.9-1-amd64", "6.1.10-1-amd64"),
    ("6.7.12-amd64", "6.8.0-rc3-amd64", "6.8.0-rc10-amd64", "6.8.0-amd64", "6.8.1-rc1-amd64", "6.8.1-amd64"),
    ("6.8~rc1-1~exp1-amd64", "6.8-amd64", "6.8.1-amd64"),
    ("5.14.0-362.el9.x86_64", "5.14.0-362.8.1.el9.x86_64", "5.14.0-427.el9.x86_64"),
    ("6.8.0-31-generic", "6.8.0-45-generic", "6.11.0-9-generic"),
    ("0-rescue-0123456789abcdef", "5.14.0-1"),
    ("6.1.0-18-amd64.old", "6.1.0-18-amd64"),
    ("vmlinuz", "4.4"),
]


@pytest.mark.parametrize("versions", RISING)
def test_versions_rise(versions: tuple[str, ...]) -> None:
    assert all(order(earlier) < order(later) for earlier, later in pairwise(versions))
