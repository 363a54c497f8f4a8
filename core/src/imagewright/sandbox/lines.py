"""What a job prints, as lines."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from imagewright.sandbox.limits import Limits, Meter

LONGEST_LINE = 8192
"""Longer lines of output are handed on in pieces of so many bytes."""


def follow(output: int, result: int | None, on_output: Callable[[str], None], limits: Limits) -> bytes:
    """Hand on what the job prints until nobody holds its output any more; what it sent as its result, if it may.

    Raises StepFailed if it takes or prints more than it may.
    """
    meter = Meter(limits)
    poll = select.poll()
    poll.register(output, select.POLLIN | select.POLLHUP)
    if result is not None:
        poll.register(result, select.POLLIN | select.POLLHUP)
    rest, answer, open_ends = b"", b"", 1 if result is None else 2
    while open_ends:
        left = meter.left()
        for descriptor, _event in poll.poll(None if left is None else left * 1000 + 1):
            data = os.read(descriptor, 1 << 16)
            if not data:
                poll.unregister(descriptor)
                open_ends -= 1
            elif descriptor == result:
                answer += data
            else:
                meter.printed(len(data))
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    _say(line, on_output)
                while len(rest) > LONGEST_LINE:
                    end = _cut(rest)
                    _say(rest[:end], on_output)
                    rest = rest[end:]
    if rest:
        _say(rest, on_output)
    return answer


def _say(line: bytes, on_output: Callable[[str], None]) -> None:
    # a carriage return redraws a line on a terminal; the last state is what counts
    text = line.rstrip(b"\r").rsplit(b"\r", 1)[-1]
    while len(text) > LONGEST_LINE:
        end = _cut(text)
        on_output(text[:end].decode(errors="replace"))
        text = text[end:]
    on_output(text.decode(errors="replace"))


def _cut(text: bytes) -> int:
    """Where to end a piece of a line that is too long: not within a character of UTF-8."""
    end = LONGEST_LINE
    while end > LONGEST_LINE - 4 and text[end] & 0xC0 == 0x80:
        end -= 1
    return end
