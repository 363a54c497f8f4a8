from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.planning.selection import select
from imagewright.request import Request


def write(folder: Path, toml: str) -> None:
    folder.mkdir()
    (folder / "flavour.toml").write_text(toml)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_requirements_always_come_first_and_nothing_is_there_twice(data):
    count = data.draw(st.integers(1, 6))
    requires = {
        number: data.draw(st.sets(st.integers(number + 1, count), max_size=2)) if number < count else set()
        for number in range(1, count + 1)
    }
    named = data.draw(st.lists(st.integers(1, count), min_size=1, max_size=4))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "system", 'provides = ["operating-system"]')
        for number, needed in requires.items():
            write(root / f"f{number}", f"requires = {[f'f{one}' for one in sorted(needed)]}")
        request = Request(
            flavours=tuple(f"f{number}" for number in named),
            output=Path("image"),
            flavour_path=(root,),
            default_operating_system="system",
            skip_base=True,
        )
        chosen = select(request)
    names = [loaded.name for loaded in chosen.flavours]
    assert names[0] == "system"
    assert len(names) == len(set(names))
    reached, waiting = set(), list(named)
    while waiting:
        number = waiting.pop()
        reached.add(number)
        waiting += requires[number]
    assert set(names[1:]) == {f"f{number}" for number in reached}
    for number in reached:
        for needed in requires[number]:
            assert names.index(f"f{needed}") < names.index(f"f{number}")
            assert f"f{needed}" in chosen.requirements[f"f{number}"]
