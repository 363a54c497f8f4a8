from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.bootserver import gpt

from .conftest import MIB, table, write_disk

PARTS = (("bios", 1, 1), ("root", 2, 20))


def test_other_tools_find_no_fault_in_a_table_that_was_moved_to_a_larger_disk(tmp_path: Path) -> None:
    disk = write_disk(tmp_path / "disk", 64, *PARTS)
    done = subprocess.run(("sgdisk", "-v", disk), capture_output=True, text=True, check=True)
    assert "No problems found" in done.stdout, done.stdout
    told = subprocess.run(("sfdisk", "--json", disk), capture_output=True, text=True, check=True).stdout
    assert '"lastlba": 131038' in told
    assert '"name": "root"' in told


def test_what_is_written_is_read_back_from_either_end() -> None:
    written = table(*PARTS)
    head, tail = gpt.write(written, 64 * MIB)
    for found in (gpt.read(head, tail), gpt.read(head), gpt.read(bytes(gpt.HEAD), tail)):
        assert found is not None
        assert (found.disk_id, found.entries) == (written.disk_id, written.entries)
    found = gpt.read(head)
    assert found is not None
    assert found.boot_record.startswith(b"boot code")


@given(st.integers(gpt.SECTOR, gpt.HEAD - 1), st.integers(1, 255))
def test_a_changed_byte_of_the_table_is_noticed(at: int, change: int) -> None:
    head = bytearray(gpt.write(table(*PARTS), 64 * MIB)[0])
    head[at] ^= change
    found = gpt.read(bytes(head))
    # Only the padding behind the header is nobody's.
    assert found is None or 604 <= at < 1024


@given(st.binary(max_size=2 * gpt.HEAD), st.binary(max_size=2 * gpt.TAIL))
def test_arbitrary_bytes_are_no_table(head: bytes, tail: bytes) -> None:
    assert gpt.read(head, tail) is None


def test_a_partition_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="partition 2"):
        gpt.write(table(*PARTS), 22 * MIB)
