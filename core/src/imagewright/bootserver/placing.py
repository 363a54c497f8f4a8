"""Decides what of an image is written where on a disk, and what of the disk stays. Pure.

The partition table comes last, so that a disk whose deployment was broken off has nothing that a firmware would start:
``before`` is what the ends of the disk hold in the meantime.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from imagewright.bootserver import gpt
from imagewright.bootserver.errors import DeploymentFailed

FIRST = 2**20
"""Bytes at the start of an image without a GPT that are written last: boot record, first superblock, boot loader."""


NOT_BOOTABLE = b"\xcd\x18\xf4\xeb\xfd"
"""A boot record that hands on to the firmware's next device: int 0x18, and a halt should that come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes for a place on the disk."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A part of the image that goes to the same place on the disk; ``end`` is the first byte behind it."""

    offset: int
    end: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.end - self.offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """The way of a deployment: write ``before``, copy ``ranges``, write ``after``.

    ``late`` are ranges that are copied behind the others. ``kept`` are the partitions of the disk that stay.
    """

    before: tuple[Piece, ...]
    ranges: tuple[Range, ...]
    late: tuple[Range, ...] = ()
    after: tuple[Piece, ...] = ()
    kept: tuple[gpt.Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The first :data:`gpt.HEAD` and the last :data:`gpt.TAIL` bytes of a disk or image of ``size`` bytes."""

    size: int
    head: bytes
    tail: bytes


def place(image: Ends, disk: Ends, keep: str = "") -> Placing:
    """How ``image`` comes onto ``disk``; the disk's partition named ``keep``, if there is one, stays as it is.

    Raises DeploymentFailed if the disk is too small, or if the image would be written over what has to stay.
    """
    if image.size > disk.size:
        raise DeploymentFailed(
            "disk-too-small",
            f"the image needs a disk of {image.size} bytes, the machine's has {disk.size}",
            hint="choose a larger disk, or build the image with a smaller --image-size",
        )
    table = gpt.read(image.head, image.tail)
    on_disk = gpt.read(disk.head, disk.tail)
    stays = [entry for entry in on_disk.entries if entry.name == keep] if keep and on_disk else []
    if len(stays) > 1:
        raise DeploymentFailed("ambiguous-partition", f"the disk has {len(stays)} partitions named {keep}")
    if table is None:
        return _without_table(image, disk, stays)
    if not stays or on_disk is None:
        return _placing(image, disk, replace(table, entries=()), table)
    (stay,) = stays
    entries = _merged(table.entries, stay)
    meanwhile = gpt.Table(disk_id=on_disk.disk_id, boot_record=NOT_BOOTABLE, entries=(stay,))
    return _placing(image, disk, meanwhile, replace(table, entries=entries), stay)


def _merged(entries: tuple[gpt.Entry, ...], stay: gpt.Entry) -> tuple[gpt.Entry, ...]:
    """The image's partitions with the one that stays instead of the image's own of that name."""
    others = tuple(entry for entry in entries if entry.name != stay.name)
    for entry in others:
        if entry.first <= stay.last and stay.first <= entry.last:
            raise DeploymentFailed(
                "layout-moved",
                f"the image's {entry.label} would lie on the disk's {stay.label}, which has to stay",
                cause="the image was built with another layout than the one on the disk",
                hint="build it with the sizes of partitions that it had, or deploy without keeping the partition",
            )
    taken = {entry.number for entry in others}
    own = [entry.number for entry in entries if entry.name == stay.name]
    number = next(number for number in (*own, stay.number, *range(1, 129)) if number not in taken)
    return (*others, replace(stay, number=number))


def _placing(image: Ends, disk: Ends, meanwhile: gpt.Table, table: gpt.Table, *kept: gpt.Entry) -> Placing:
    before = _pieces(meanwhile, disk.size) if kept else _blank(disk.size)
    return Placing(
        before=before,
        ranges=without(Range(offset=gpt.HEAD, end=_content_end(image)), kept),
        after=_pieces(table, disk.size),
        kept=kept,
    )


def _content_end(image: Ends) -> int:
    """Where the copy of the image's table begins; but an image that was cut has none, but partitions up to its end."""
    table = gpt.read(image.head, image.tail)
    return (
        max(image.size - gpt.TAIL, *(entry.end for entry in table.entries)) if table and table.entries else image.size
    )


def _without_table(image: Ends, disk: Ends, stays: list[gpt.Entry]) -> Placing:
    if stays:
        raise DeploymentFailed(
            "layout-moved",
            f"the image has no GPT, so that it would be written over the disk's {stays[0].label}",
            hint="deploy without keeping the partition",
        )
    first = min(FIRST, image.size)
    ranges = (Range(offset=first, end=image.size),) if image.size > first else ()
    return Placing(before=_blank(disk.size), ranges=ranges, late=(Range(offset=0, end=first),))


def without(whole: Range, kept: tuple[gpt.Entry, ...]) -> tuple[Range, ...]:
    """The parts of a range that lie in none of the partitions."""
    parts = [whole]
    for entry in kept:
        parts = [
            Range(offset=start, end=end)
            for part in parts
            for start, end in (
                (part.offset, min(part.end, entry.start)),
                (max(part.offset, entry.end), part.end),
            )
            if start < end
        ]
    return tuple(parts)


def _pieces(table: gpt.Table, size: int) -> tuple[Piece, ...]:
    try:
        head, tail = gpt.write(table, size)
    except ValueError as error:
        raise DeploymentFailed("disk-too-small", str(error)) from error
    # The copy first: the table at the start is what makes the disk one that a firmware starts from.
    return Piece(offset=size // gpt.SECTOR * gpt.SECTOR - gpt.TAIL, data=tail), Piece(offset=0, data=head)


def _blank(size: int) -> tuple[Piece, ...]:
    tail = size // gpt.SECTOR * gpt.SECTOR - gpt.TAIL
    return Piece(offset=0, data=bytes(gpt.HEAD)), Piece(offset=tail, data=bytes(gpt.TAIL))
