"""How large the disk is: bounds of flavours, the content and ``--image-size`` folded into one number. Pure.

The size is the largest minimum or the content plus a reserve, whichever is more. The reserve is a tenth of the content
and at least 256 MiB: room for the filesystem's own tables and for the first boot. Without any bound a disk has at least
2 GiB, which is what scripts of the phase ``block-device-size`` are told; a maximum lowers that default, so it is never
a side of a conflict. ``--image-size`` is the size itself: every minimum and the content must fit into it, the reserve
need not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from imagewright.errors import ContractError, PlanError
from imagewright.types import GIB, MIB, Layout, Origin, Size

RESERVE_SHARE = 10
"""The reserve is one part in so many of the content."""

RESERVE_LEAST = 256 * MIB
"""The least reserve, in bytes."""

DEFAULT_GIB = 2
"""The least size in GiB where nobody says anything, and what scripts see as ``IMAGE_SIZE``."""

LARGEST_GIB = 16 * 1024
"""The largest size in GiB: ext4, which holds most work folders, has no larger file."""

Bound = tuple[Origin, str, Size]
"""Who bounds the size, the id of their step, and the bound."""

_SIZE_LINE = re.compile(r"^\s*IMAGE_SIZE=(.*)$", re.MULTILINE)
_DEVICE_LINE = re.compile(r"^\s*IMAGE_BLOCK_DEVICE=(.*)$", re.MULTILINE)


def show(size: int) -> str:
    """``1.5 GiB``: a size in bytes as messages show it, never rounded to a smaller number."""
    if size and size < GIB // 10:
        return f"{-(-size // MIB)} MiB"
    hundredths = -(-size * 100 // GIB)
    return f"{hundredths / 100:g} GiB"


def asked(size: int) -> str:
    """``0.001 GiB``: what the user gave as ``--image-size``, in bytes, as they gave it."""
    # whole bytes are a little less than the decimals that were given
    return f"{round(size / GIB, 6):g} GiB"


def aligned(size: int) -> int:
    """``size`` rounded up to whole MiB."""
    return -(-size // MIB) * MIB


def reserve(content: int) -> int:
    """The room in bytes that is left beside ``content``."""
    return max(RESERVE_LEAST, content // RESERVE_SHARE)


def given_gib(requested: int | None) -> int:
    """What scripts see as ``IMAGE_SIZE``: ``--image-size`` (bytes) rounded up to whole GiB, else the default."""
    return DEFAULT_GIB if requested is None else -(-requested // GIB)


def layout_overhead(layout: Layout | None) -> int:
    """Bytes of the disk that are not the root filesystem: tables at both ends and the other partitions."""
    if layout is None:
        return 0
    return 2 * MIB + sum(aligned(partition.size) for partition in layout.partitions if partition.role != "root")


def check_requested(requested: int, least: int) -> None:
    """Raise PlanError if ``--image-size`` is less than what a disk of this layout has without any content."""
    if requested < least:
        raise PlanError(
            "image-too-small",
            f"no image fits into {asked(requested)}",
            where=(f"its partitions and the smallest filesystem: {show(least)}",),
            hint=larger(least),
            option="image-size",
        )


def fold(bounds: Sequence[Bound], content: int | None, requested: int | None) -> int:
    """The size of the disk in bytes, a multiple of a MiB.

    ``content`` is what the disk must hold (filesystem content and :func:`layout_overhead`), None as long as nobody
    knows; ``requested`` is ``--image-size``. Raises PlanError that names both sides of a conflict.
    """
    least = max(bounds, key=lambda bound: bound[2].minimum, default=None)
    minimum = aligned(least[2].minimum) if least else 0
    if requested is not None:
        size = aligned(requested)
        if least and minimum > size:
            raise _conflict(
                _says(least, "at least", minimum),
                f"--image-size asks for {asked(requested)}",
                larger(minimum),
                "image-size",
            )
        for bound in bounds:
            if bound[2].maximum is not None and size > bound[2].maximum:
                raise _conflict(
                    f"--image-size asks for {asked(requested)}",
                    _says(bound, "at most", bound[2].maximum),
                    f"give --image-size {_gib(bound[2].maximum)} or less",
                    "image-size",
                )
        if content is not None and content > size:
            raise PlanError(
                "image-too-small",
                f"The image's content does not fit into {asked(requested)}",
                where=(f"content: {show(content)}", f"--image-size asks for {asked(requested)}"),
                hint=larger(content + reserve(content)),
                option="image-size",
            )
        return size
    wanted = 0 if content is None else aligned(content + reserve(content))
    maxima = [bound for bound in bounds if bound[2].maximum is not None]
    tightest = min(maxima, key=lambda bound: bound[2].maximum or 0, default=None)
    ceiling = None if tightest is None else (tightest[2].maximum or 0)
    if tightest is not None and ceiling is not None:
        if least and minimum > ceiling:
            raise _conflict(
                _says(least, "at least", minimum),
                _says(tightest, "at most", ceiling),
                "leave out one of the two, or switch its step off with --skip",
            )
        if wanted > ceiling:
            assert content is not None
            fits = content <= ceiling
            raise _conflict(
                f"the content of {show(content)} with its reserve of {show(wanted - content)} needs {show(wanted)}",
                _says(tightest, "at most", ceiling),
                f"give --image-size {_gib(ceiling)} to do without the reserve" if fits else "install less",
            )
    default = DEFAULT_GIB * GIB if ceiling is None else min(DEFAULT_GIB * GIB, ceiling // MIB * MIB)
    return max(minimum, wanted, default)


def parse_script_output(text: str, given_gib: int, *, where: tuple[str, ...] = ()) -> Size:
    """The bound that a ``block-device-size`` script printed: its last line ``IMAGE_SIZE=N``, N whole GiB.

    A minimum if N is at least ``given_gib``, which the script saw as ``IMAGE_SIZE``; else a maximum. No such line: no
    bound. The value is read, never evaluated. Raises ContractError (placed by ``where``) for a bad value.
    """
    found = _SIZE_LINE.findall(text)
    if not found:
        return Size()
    value = _unquoted(found[-1])
    if not re.fullmatch(r"[0-9]{1,9}", value) or not 1 <= int(value) <= LARGEST_GIB:
        raise ContractError(
            "bad-image-size",
            f"A script printed IMAGE_SIZE={value}, which is no size",
            where=where,
            cause=f"IMAGE_SIZE is a whole number of GiB from 1 to {LARGEST_GIB}; it is not evaluated",
            hint="print a line such as IMAGE_SIZE=16",
        )
    number = int(value)
    if number >= given_gib:
        return Size(minimum=number * GIB, reason=f"printed IMAGE_SIZE={number}")
    return Size(maximum=number * GIB, reason=f"printed IMAGE_SIZE={number}")


def parse_block_device(text: str) -> str | None:
    """The path of the last line ``IMAGE_BLOCK_DEVICE=PATH`` that a ``block-device`` script printed, None without one.

    The value is read, never evaluated.
    """
    found = _DEVICE_LINE.findall(text)
    return _unquoted(found[-1]) if found and _unquoted(found[-1]) else None


def partition_number(device: str, disk: str, *, where: tuple[str, ...] = ()) -> int | None:
    """Which partition of ``disk`` the path ``device`` means: ``DISKp1`` is 1; the disk itself is None.

    Raises ContractError (placed by ``where``) for any other path.
    """
    if device == disk:
        return None
    match = re.fullmatch(r"p([1-9][0-9]{0,2})", device.removeprefix(disk)) if device.startswith(disk) else None
    if match is None:
        raise ContractError(
            "bad-block-device",
            f"A script printed IMAGE_BLOCK_DEVICE={device}, which is no partition of the image",
            where=where,
            cause=f"the disk is {disk}; its first partition is {disk}p1",
            hint='print IMAGE_BLOCK_DEVICE="${IMAGE_BLOCK_DEVICE}p1"',
        )
    return int(match[1])


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _says(bound: Bound, word: str, size: int) -> str:
    origin, step, what = bound
    reason = f" ({what.reason})" if what.reason else ""
    return f"{origin}, step block-device-size/{step}: {word} {show(size)}{reason}"


def _gib(size: int) -> str:
    """A number for ``--image-size`` that is not more than ``size`` bytes."""
    return f"{size * 100 // GIB / 100:g}"


def larger(size: int) -> str:
    """The hint for an ``--image-size`` that holds ``size`` bytes."""
    return f"give --image-size {-(-size * 100 // GIB) / 100:g} or more, or leave it out"


def _conflict(one: str, other: str, hint: str, option: str = "") -> PlanError:
    return PlanError(
        "size-conflict",
        "The bounds of the image's size contradict each other",
        where=(one, other),
        hint=hint,
        option=option,
    )
