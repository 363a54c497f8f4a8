from __future__ import annotations

import pytest
from imagewright.bootserver import gpt
from imagewright.bootserver.errors import DeploymentFailed
from imagewright.bootserver.placing import NOT_BOOTABLE, Ends, Placing, place

from .conftest import MIB, Part, table

SYSTEM: tuple[Part, ...] = (("bios", 1, 1), ("state", 2, 8), ("root", 10, 20))


def ends(mib: int, *parts: Part) -> Ends:
    if not parts:
        return Ends(size=mib * MIB, head=bytes(gpt.HEAD), tail=bytes(gpt.TAIL))
    head, tail = gpt.write(table(*parts), mib * MIB)
    return Ends(size=mib * MIB, head=head, tail=tail)


def ranges(placing: Placing) -> list[tuple[int, int]]:
    return [(part.offset, part.end) for part in placing.ranges]


def after(placing: Placing) -> gpt.Table:
    found = gpt.read(placing.after[-1].data)
    assert found is not None
    return found


def test_the_table_is_written_last_and_fits_the_disk() -> None:
    placing = place(ends(32, *SYSTEM), ends(100), "state")
    assert not any(any(piece.data) for piece in placing.before)
    assert ranges(placing) == [(gpt.HEAD, 32 * MIB - gpt.TAIL)]
    assert placing.after[-1].offset == 0
    assert placing.after[0].offset == 100 * MIB - gpt.TAIL
    assert [one.name for one in after(placing).entries] == ["bios", "state", "root"]


def test_a_partition_that_stays_is_written_around_and_in_every_table() -> None:
    old = (("bios", 1, 1), ("state", 2, 8), ("root", 10, 80))
    placing = place(ends(32, *SYSTEM), ends(100, *old), "state")
    assert ranges(placing) == [(gpt.HEAD, 2 * MIB), (10 * MIB, 32 * MIB - gpt.TAIL)]
    meanwhile = gpt.read(placing.before[-1].data)
    assert meanwhile is not None
    assert [one.name for one in meanwhile.entries] == ["state"]
    assert meanwhile.boot_record.startswith(NOT_BOOTABLE)
    assert [(one.number, one.name) for one in after(placing).entries] == [(1, "bios"), (2, "state"), (3, "root")]
    assert after(placing).boot_record.startswith(b"boot code")


def test_a_partition_that_the_image_lacks_stays_too() -> None:
    placing = place(ends(32, ("bios", 1, 1), ("root", 2, 20)), ends(100, ("root", 1, 20), ("state", 50, 8)), "state")
    assert {one.name: one.number for one in after(placing).entries} == {"bios": 1, "root": 2, "state": 3}
    assert ranges(placing) == [(gpt.HEAD, 32 * MIB - gpt.TAIL)]


def test_a_layout_that_moved_into_it_is_refused() -> None:
    with pytest.raises(DeploymentFailed, match="root.*would lie on.*state") as error:
        place(ends(32, ("state", 1, 4), ("root", 5, 20)), ends(100, ("state", 1, 8)), "state")
    assert error.value.reference == "layout-moved"


def test_without_a_wish_nothing_stays() -> None:
    assert place(ends(32, *SYSTEM), ends(100, *SYSTEM)).kept == ()


def test_a_disk_that_is_too_small_is_refused_with_both_sizes() -> None:
    with pytest.raises(DeploymentFailed, match=f"{32 * MIB} bytes.*{31 * MIB}"):
        place(ends(32, *SYSTEM), ends(31), "state")


def test_an_image_without_a_table_has_its_first_mebibyte_written_last() -> None:
    placing = place(ends(32), ends(100), "state")
    assert ranges(placing) == [(MIB, 32 * MIB)]
    assert [(part.offset, part.end) for part in placing.late] == [(0, MIB)]
    assert placing.after == ()


def test_an_image_without_a_table_is_not_written_over_what_has_to_stay() -> None:
    with pytest.raises(DeploymentFailed, match="no GPT"):
        place(ends(32), ends(100, ("state", 50, 8)), "state")


def test_two_partitions_of_that_name_are_refused() -> None:
    with pytest.raises(DeploymentFailed, match="2 partitions named state"):
        place(ends(32, *SYSTEM), ends(100, ("state", 1, 8), ("state", 50, 8)), "state")
