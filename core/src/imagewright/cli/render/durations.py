"""Times and sizes for people."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


def seconds_of(seconds: float) -> str:
    """``3.1 s`` below a minute, then as a clock."""
    return f"{seconds:.1f} s" if seconds < 59.95 else clock(seconds)


def size(count: int) -> str:
    """``12.3 MiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def download(name: str, done: int, total: int | None) -> str:
    """``web.tar.xz 12.3 MiB of 45.6 MiB``."""
    return f"{name} {size(done)}" + (f" of {size(total)}" if total else "")
