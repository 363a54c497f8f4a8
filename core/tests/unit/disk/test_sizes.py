"""The size of the disk: folding, script output, block devices."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.disk import ext4, sizes
from imagewright.disk.measuring import BLOCK, Content
from imagewright.errors import ContractError, PlanError
from imagewright.types import GIB, MIB, Layout, Origin, Partition, Size

BIG = Origin(flavour="big", distribution="big-pack", version="1.2")
SMALL = Origin(flavour="small", location="flavours/small")


def at_least(gib: int) -> sizes.Bound:
    return BIG, "10-large", Size(minimum=gib * GIB, reason="its data")


def at_most(gib: int) -> sizes.Bound:
    return SMALL, "20-tight", Size(maximum=gib * GIB)


def test_without_bounds_or_content_the_disk_has_the_default_size() -> None:
    assert sizes.fold((), None, None) == 2 * GIB


def test_a_maximum_lowers_the_default() -> None:
    assert sizes.fold((at_most(1),), None, None) == GIB


def test_the_largest_minimum_wins_over_smaller_ones_and_small_content() -> None:
    assert sizes.fold((at_least(4), at_least(16), at_least(8)), 3 * GIB, None) == 16 * GIB


def test_content_plus_reserve_wins_over_a_smaller_minimum() -> None:
    assert sizes.fold((at_least(4),), 10 * GIB, None) == 11 * GIB
    assert sizes.fold((), 2 * GIB, None) == 2 * GIB + 256 * MIB


def test_the_image_size_is_taken_as_it_is() -> None:
    assert sizes.fold((at_least(4), at_most(16)), 5 * GIB, 6 * GIB) == 6 * GIB


def test_the_image_size_may_take_the_place_of_the_reserve() -> None:
    assert sizes.fold((at_most(1),), GIB - MIB, GIB) == GIB


@pytest.mark.parametrize(
    ("bounds", "content", "requested", "sides"),
    [
        ((at_least(16), at_most(4)), None, None, ("big (big-pack 1.2), step block-device-size/10-large", "16 GiB")),
        ((at_least(16), at_most(4)), None, None, ("small (flavours/small), step block-device-size/20-tight", "4 GiB")),
        ((at_least(16),), None, 8 * GIB, ("at least 16 GiB (its data)", "--image-size asks for 8 GiB")),
        ((at_most(4),), None, 8 * GIB, ("at most 4 GiB", "--image-size asks for 8 GiB")),
        ((at_most(4),), 5 * GIB, None, ("the content of 5 GiB", "small (flavours/small)")),
        ((), 3 * GIB, 2 * GIB, ("content: 3 GiB", "--image-size asks for 2 GiB")),
    ],
)
def test_a_conflict_names_both_sides(
    bounds: tuple[sizes.Bound, ...], content: int | None, requested: int | None, sides: tuple[str, ...]
) -> None:
    with pytest.raises(PlanError) as caught:
        sizes.fold(bounds, content, requested)
    where = "\n".join(caught.value.where)
    assert len(caught.value.where) == 2
    assert all(side in where for side in sides)
    assert caught.value.hint


def test_a_conflict_that_only_the_reserve_makes_says_how_to_do_without_it() -> None:
    with pytest.raises(PlanError) as caught:
        sizes.fold((at_most(2),), 2 * GIB - 100 * MIB, None)
    assert "--image-size 2 " in caught.value.hint
    assert sizes.fold((at_most(2),), 2 * GIB - 100 * MIB, 2 * GIB) == 2 * GIB


bounds_of = st.lists(
    st.one_of(
        st.integers(1, 64 * GIB).map(lambda n: (BIG, "10-a", Size(minimum=n))),
        st.integers(MIB, 64 * GIB).map(lambda n: (SMALL, "20-b", Size(maximum=n))),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(bounds_of, st.none() | st.integers(0, 64 * GIB), st.none() | st.integers(MIB, 64 * GIB))
def test_a_size_keeps_every_bound_or_is_a_conflict(
    bounds: list[sizes.Bound], content: int | None, requested: int | None
) -> None:
    minimum = max((bound[2].minimum for bound in bounds), default=0)
    maximum = min((bound[2].maximum for bound in bounds if bound[2].maximum is not None), default=1 << 60)
    wanted = 0 if content is None else content + max(content // 10, 256 * MIB)
    up = lambda n: -(-n // MIB) * MIB  # noqa: E731 - the one rounding rule
    try:
        size = sizes.fold(bounds, content, requested)
    except PlanError:
        if requested is None:
            assert up(minimum) > maximum or up(wanted) > maximum
        else:
            assert up(minimum) > up(requested) or up(requested) > maximum or (content or 0) > up(requested)
        return
    assert size % MIB == 0
    assert minimum <= size <= maximum
    if requested is None:
        assert size in {up(minimum), up(wanted), 2 * GIB, maximum // MIB * MIB}
        assert size >= wanted
    else:
        assert size == up(requested)
        assert size >= (content or 0)


@settings(deadline=None)
@given(bounds_of, st.none() | st.integers(0, 64 * GIB), st.randoms())
def test_the_order_of_bounds_plays_no_part(bounds: list[sizes.Bound], content: int | None, random: object) -> None:
    def outcome(given_bounds: list[sizes.Bound]) -> int | str:
        try:
            return sizes.fold(given_bounds, content, None)
        except PlanError as error:
            return error.reference

    other = list(bounds)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert outcome(other) == outcome(bounds)


@settings(deadline=None)
@given(st.integers(0, 200 * GIB), st.integers(1, 2_000_000))
def test_the_reserve_covers_the_tables_of_the_filesystem(data: int, inodes: int) -> None:
    content = Content(data=data // BLOCK * BLOCK + inodes * 16, inodes=inodes)
    assert ext4.smallest(content) <= sizes.aligned(content.total + sizes.reserve(content.total))


@pytest.mark.parametrize(("requested", "gib"), [(None, 2), (1, 1), (GIB, 1), (GIB + 1, 2), (3 * GIB // 2, 2)])
def test_scripts_see_whole_gib_rounded_up_or_two(requested: int | None, gib: int) -> None:
    assert sizes.given_gib(requested) == gib


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", Size()),
        ("building\nNOT_IMAGE_SIZE=9\n", Size()),
        ("IMAGE_SIZE=16\n", Size(minimum=16 * GIB, reason="printed IMAGE_SIZE=16")),
        ("IMAGE_SIZE=2", Size(minimum=2 * GIB, reason="printed IMAGE_SIZE=2")),
        ("IMAGE_SIZE=1\n", Size(maximum=GIB, reason="printed IMAGE_SIZE=1")),
        ("IMAGE_SIZE=1\nhello\n IMAGE_SIZE='08'\r\nbye\n", Size(minimum=8 * GIB, reason="printed IMAGE_SIZE=8")),
    ],
)
def test_the_last_line_with_a_size_is_a_minimum_or_a_maximum(text: str, size: Size) -> None:
    assert sizes.parse_script_output(text, 2) == size


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "$((1+1))", "16G", "99999999", "1" * 5000, "٣"])
def test_a_size_that_is_no_number_is_an_error_that_shows_it(value: str) -> None:
    with pytest.raises(ContractError) as caught:
        sizes.parse_script_output(f"IMAGE_SIZE={value}\n", 2, where=("flavour: odd",))
    assert f"IMAGE_SIZE={value}" in caught.value.message
    assert caught.value.where == ("flavour: odd",)


def test_the_last_block_device_wins_and_is_not_evaluated() -> None:
    text = 'IMAGE_BLOCK_DEVICE=/w/disk\nnoise\nIMAGE_BLOCK_DEVICE="/w/$(x)p2"\n'
    assert sizes.parse_block_device(text) == "/w/$(x)p2"
    assert sizes.parse_block_device("nothing\nIMAGE_BLOCK_DEVICE=\n") is None


def test_a_block_device_is_the_disk_or_a_partition_of_it() -> None:
    assert sizes.partition_number("/w/disk.raw", "/w/disk.raw") is None
    assert sizes.partition_number("/w/disk.rawp12", "/w/disk.raw") == 12
    for device in ("/dev/sda1", "/w/disk.raw1", "/w/disk.rawp0", "/w/disk.rawp1/x", "/w/disk.rawpp1"):
        with pytest.raises(ContractError, match="IMAGE_BLOCK_DEVICE="):
            sizes.partition_number(device, "/w/disk.raw")


def test_the_other_partitions_and_both_tables_are_overhead() -> None:
    layout = Layout(
        partitions=(
            Partition(name="esp", type="x", size=64 * MIB, role="esp"),
            Partition(name="root", type="x", role="root"),
            Partition(name="odd", type="x", size=MIB + 1),
        )
    )
    assert sizes.layout_overhead(layout) == 68 * MIB
    assert sizes.layout_overhead(None) == 0


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 GiB"), (MIB, "1 MiB"), (GIB, "1 GiB"), (3 * GIB // 2, "1.5 GiB"), (GIB + 1, "1.01 GiB")]
)
def test_sizes_are_never_shown_smaller_than_they_are(size: int, text: str) -> None:
    assert sizes.show(size) == text


def test_an_image_size_that_holds_no_image_at_all_is_said_as_it_was_given() -> None:
    sizes.check_requested(8 * MIB, 8 * MIB)
    with pytest.raises(PlanError) as caught:
        sizes.check_requested(GIB // 1000, 8 * MIB)
    assert caught.value.message == "no image fits into 0.001 GiB"
    assert caught.value.hint.startswith("give --image-size 0.01 or more")
    assert caught.value.option == "image-size"


@pytest.mark.parametrize("given", [1.001, 0.25, 2, 0.0625])
def test_the_size_that_was_asked_for_is_shown_without_rounding(given: float) -> None:
    with pytest.raises(PlanError) as caught:
        sizes.fold((), 3 * GIB, int(given * GIB))
    assert f"--image-size asks for {given:g} GiB" in caught.value.where
