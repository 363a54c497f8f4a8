"""Partition tables on a plain file: writes GPTs by sfdisk, reads back what scripts made."""

from __future__ import annotations

import json
import re
import uuid as uuids
from dataclasses import dataclass
from pathlib import Path

from imagewright.disk import sizes, tools
from imagewright.errors import ContractError, PlanError, StepFailed
from imagewright.types import MIB, Layout, Partition

SECTOR = 512
ALIGNMENT = MIB
"""Every partition starts and ends at a multiple of that many bytes."""

_EXTENDED = {"5", "f", "85"}  # DOS partitions that only hold others


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPartition:
    """A partition in its place: ``number`` counts from 1; ``offset`` and ``size`` in bytes."""

    number: int
    offset: int
    size: int
    partition: Partition
    uuid: str = ""


def place(layout: Layout, size: int, disk_uuid: str) -> tuple[PlacedPartition, ...]:
    """Where each partition lies on a disk of ``size`` bytes. Pure; the same arguments give the same UUIDs.

    Raises PlanError if the partitions do not fit, ContractError if more than one wants all the room that is left.
    """
    greedy = [partition.name for partition in layout.partitions if partition.size == 0]
    if len(greedy) > 1:
        raise ContractError(
            "bad-layout",
            f"{len(greedy)} partitions want all the room that is left: {', '.join(greedy)}",
            hint="give all but one of them a size",
        )
    fixed = sum(sizes.aligned(partition.size) for partition in layout.partitions)
    # One MiB before the first partition, and one behind the last for the table's copy.
    room = size // ALIGNMENT * ALIGNMENT - 2 * ALIGNMENT - fixed
    if room < (ALIGNMENT if greedy else 0):
        needed = fixed + 2 * ALIGNMENT + (ALIGNMENT if greedy else 0)
        raise PlanError(
            "image-too-small",
            f"The partitions need {sizes.show(needed)}, but the disk has {sizes.show(size)}",
            where=tuple(
                f"{partition.name}: {sizes.show(partition.size) if partition.size else 'what is left'}"
                for partition in layout.partitions
            ),
            hint="give a larger --image-size, or leave it out",
            option="image-size",
        )
    placed: list[PlacedPartition] = []
    offset = ALIGNMENT
    for number, partition in enumerate(layout.partitions, 1):
        length = sizes.aligned(partition.size) or room
        own = uuids.uuid5(uuids.UUID(disk_uuid), f"partition {number} {partition.name}")
        placed.append(PlacedPartition(number=number, offset=offset, size=length, partition=partition, uuid=str(own)))
        offset += length
    return tuple(placed)


def write(disk: Path, placed: tuple[PlacedPartition, ...], disk_uuid: str, epoch: int) -> None:
    """Write a GPT with these partitions into ``disk``, which has its final size already."""
    lines = ["label: gpt", f"label-id: {disk_uuid}", "unit: sectors", "first-lba: 34", ""]
    for one in placed:
        name = re.sub(r'[\\"\s]', "-", one.partition.name)[:36]
        lines.append(
            f"start={one.offset // SECTOR}, size={one.size // SECTOR}, type={one.partition.type}, "
            f'uuid={one.uuid}, name="{name}"'
        )
    script = "\n".join(lines) + "\n"
    tools.run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", str(disk)],
        epoch=epoch,
        data=script.encode(),
    )


def read(disk: Path) -> tuple[PlacedPartition, ...]:
    """The partitions of a GPT or DOS table that somebody wrote into ``disk``; no role is known, all are ``data``.

    Raises ContractError if there is no table, or if one of its partitions reaches beyond the disk.
    """
    try:
        done = tools.run(["sfdisk", "--json", str(disk)])
        table = json.loads(done.stdout)["partitiontable"]
    except (StepFailed, ValueError, KeyError) as error:
        raise ContractError(
            "no-partition-table",
            "The disk has no partition table that sfdisk can read",
            where=(f"disk: {disk}",),
            cause="no script of the phase block-device wrote one",
        ) from error
    size = disk.stat().st_size
    sector = int(table.get("sectorsize", SECTOR))
    placed: list[PlacedPartition] = []
    for entry in table.get("partitions", []):
        number = int(re.sub(r"^p", "", entry["node"].removeprefix(table["device"])))
        one = PlacedPartition(
            number=number,
            offset=int(entry["start"]) * sector,
            size=int(entry["size"]) * sector,
            partition=Partition(name=entry.get("name", ""), type=entry["type"], size=int(entry["size"]) * sector),
            uuid=entry.get("uuid", "").lower(),
        )
        if one.offset + one.size > size:
            raise ContractError(
                "partition-beyond-disk",
                f"Partition {number} ends at {sizes.show(one.offset + one.size)}, the disk at {sizes.show(size)}",
                where=(f"disk: {disk}",),
            )
        placed.append(one)
    return tuple(placed)


def pick(placed: tuple[PlacedPartition, ...], number: int, disk: Path) -> PlacedPartition:
    """Partition ``number`` of a table, which must be one that can hold a filesystem. Raises ContractError."""
    found = next((one for one in placed if one.number == number), None)
    if found is None:
        have = ", ".join(str(one.number) for one in placed) or "none"
        raise ContractError(
            "no-such-partition",
            f"The disk has no partition {number}",
            where=(f"disk: {disk}", f"partitions: {have}"),
        )
    if found.partition.type.lower() in _EXTENDED:
        raise ContractError(
            "extended-partition",
            f"Partition {number} is an extended partition and cannot hold a filesystem",
            where=(f"disk: {disk}",),
        )
    return found
