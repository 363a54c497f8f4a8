"""Identifiers of partition tables: those that a program took at random follow from the plan instead.

A script that lays out the disk with sfdisk(8) and names no identifiers would give other bytes in every build. Nothing
of the image can know a random one, since the root tree is complete by then.
"""

from __future__ import annotations

import json
import re
import uuid as uuids
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from imagewright.disk import tools
from imagewright.errors import StepFailed

_GIVEN = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|0x[0-9a-f]{1,8}\b", re.IGNORECASE)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-(.).(.).-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
"""A UUID with the places in which its version stands (RFC 9562), in both orders of the bytes."""


def identifiers_in(content: bytes) -> Iterator[str]:
    """The UUIDs, and the hexadecimal numbers of DOS tables, that stand in a file or a variable; in lower case."""
    for found in _GIVEN.findall(content):
        text = found.decode().lower()
        yield f"0x{int(text, 16):08x}" if text.startswith("0x") else text


def settle(disk: Path, seed: str, given: Collection[str]) -> None:
    """Replace the random identifiers of the table in ``disk`` by ones that ``seed``, a UUID, determines.

    ``given`` holds those that the script knew: they stay. A disk without a table is left alone.
    """
    try:
        table: dict[str, Any] = json.loads(tools.run(["sfdisk", "--json", str(disk)]).stdout)["partitiontable"]
    except (StepFailed, ValueError, KeyError):
        return
    if table.get("label") == "dos":
        identifier = f"0x{int(str(table.get('id', '0x0')), 16):08x}"
        if identifier not in given:
            # 0 means to some that there is none
            _set(disk, "--disk-id", f"0x{_derived(seed, 'table').int >> 96 or 1:08x}")
    elif table.get("label") == "gpt":
        if _is_random(str(table.get("id", "")), given):
            _set(disk, "--disk-id", str(_derived(seed, "table")))
        for entry in table.get("partitions", ()):
            if _is_random(str(entry.get("uuid", "")), given):
                number = re.sub(r"^p", "", str(entry["node"]).removeprefix(str(table["device"])))
                _set(disk, "--part-uuid", number, str(_derived(seed, f"partition {number}")))


def _is_random(text: str, given: Collection[str]) -> bool:
    # sfdisk writes a random UUID without turning the bytes that GPTs hold the other way round
    found = _UUID.fullmatch(text)
    return found is not None and "4" in (found[1], found[2]) and text.lower() not in given


def _derived(seed: str, purpose: str) -> uuids.UUID:
    return uuids.uuid5(uuids.UUID(seed), f"identifier of {purpose}")


def _set(disk: Path, option: str, *values: str) -> None:
    tools.run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", option, str(disk), *values])
