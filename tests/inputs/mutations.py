"""Damaged copies of a good sample, always the same: what a fuzzer without feedback tries, and what attackers do."""

from __future__ import annotations

import random

WORDS = (
    b"../../../../tmp/escaped", b"/etc/passwd", b"$(touch escaped)", b"`touch escaped`", b"'; touch escaped; '",
    b'"; touch escaped; "', b"\n", b"\r\n", b"\0", b"\x1b[2J", b"\xff\xfe", "ü".encode(), b"=", b":", b"[", b"]]",
    b"{{", b"-1", b"0", b"4294967296", b"18446744073709551615", b"1e999", b"0x10", b"NaN", b"null", b"true", b"~", b"*",
    b"%s", b"%n", b"\\", b" ", b"\t", b"A" * 5000, b"[" * 2000, b"\xe2\x80\xae",
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(sample: bytes, number: int) -> bytes:
    """The damaged copy of that number; a few changes of any kind in one."""
    chance = random.Random(number * 2654435761 + len(sample))
    data = bytearray(sample)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        length = min(chance.choice((1, 1, 2, 4, 8, 64, 1024)), len(data) - at)
        match chance.randrange(8):
            case 0:
                data[at : at + length] = chance.randbytes(length)
            case 1:
                data[at : at + 1] = bytes([chance.choice(NUMBERS)])
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = chance.choice(WORDS)
            case 4:
                data[at : at + length] = chance.choice(WORDS)
            case 5:
                data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
            case 6:
                del data[at:]
            case 7:
                lines = data.split(b"\n")
                chance.shuffle(lines)
                data = bytearray(b"\n".join(lines))
    return bytes(data)
