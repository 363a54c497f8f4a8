"""Decompression with a bound on what comes out. Everything here raises Damaged for bad data."""

from __future__ import annotations

import zlib

from imagewright.reading.errors import Damaged, Unsupported


def inflate(data: bytes, limit: int, *, window: int = zlib.MAX_WBITS) -> bytes:
    """Up to ``limit`` bytes of a deflate stream; ``window`` as for zlib (negative without header)."""
    try:
        return zlib.decompressobj(window).decompress(data, limit)
    except zlib.error as error:
        raise Damaged(f"compressed data is damaged ({error})") from error


def unzstd(data: bytes, limit: int) -> bytes:
    """Up to ``limit`` bytes of the first zstd frame in ``data``; what follows it is ignored."""
    import zstandard

    try:
        stated = zstandard.frame_content_size(data)
        if stated > limit:
            raise Damaged(f"compressed data says that it holds {stated} bytes where {limit} is the most")
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(data) as stream:
            return stream.read(limit)
    except zstandard.ZstdError as error:
        raise Damaged(f"compressed data is damaged ({error})") from error


def unlzo(data: bytes, limit: int) -> bytes:
    """Up to ``limit`` bytes of an LZO1X stream; the format is in the kernel's ``Documentation/staging/lzo.rst``."""
    try:
        return bytes(_lzo1x(data, limit))
    except IndexError:
        raise Damaged("compressed data ends too early") from None


def _lzo1x(data: bytes, limit: int) -> bytearray:
    out = bytearray()
    at = 0
    state = 0
    if data[0] > 17:
        count = data[0] - 17
        at = 1 + count
        _literals(data, 1, count, out)
        state = min(count, 4)
    elif data[0] == 17 and len(data) > 1 and data[1] == 1:
        raise Unsupported("LZO-RLE is not read")
    while len(out) < limit:
        code = data[at]
        at += 1
        if code < 16 and state == 0:
            count, at = _run(data, at, code, 15)
            _literals(data, at, count + 3, out)
            at += count + 3
            state = 4
            continue
        if code >= 64:
            length, distance, state = (code >> 5) + 1, (code >> 2 & 7) + (data[at] << 3) + 1, code & 3
            at += 1
        elif code >= 16:
            mask = 31 if code >= 32 else 7
            length, at = _run(data, at, code & mask, mask)
            word = data[at] | data[at + 1] << 8
            at += 2
            length, distance, state = length + 2, (word >> 2) + 1, word & 3
            if code < 32:
                distance += 0x3FFF + ((code & 8) << 11)
                if distance == 0x4000:
                    return out
        elif state == 4:
            length, distance, state = 3, (code >> 2) + (data[at] << 2) + 2049, code & 3
            at += 1
        else:
            length, distance, state = 2, (code >> 2) + (data[at] << 2) + 1, code & 3
            at += 1
        if distance > len(out):
            raise Damaged("compressed data points before its beginning")
        start = len(out) - distance
        piece = out[start : start + length]
        # A match may overlap what it makes.
        out += (piece * (length // len(piece) + 1))[:length]
        _literals(data, at, state, out)
        at += state
    return out[:limit]


def _run(data: bytes, at: int, count: int, base: int) -> tuple[int, int]:
    if count:
        return count, at
    while data[at] == 0:
        count += 255
        at += 1
    return count + base + data[at], at + 1


def _literals(data: bytes, at: int, count: int, out: bytearray) -> None:
    if at + count > len(data):
        raise Damaged("compressed data ends too early")
    out += data[at : at + count]
