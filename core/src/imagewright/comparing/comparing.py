"""What differs between two sides, as one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imagewright.comparing.booting import COMMAND_LINE
from imagewright.comparing.files import File
from imagewright.comparing.sides import Facts, Side, opened
from imagewright.errors import UsageError
from imagewright.reading.blocks import CHUNK, Blocks
from imagewright.reading.images import readable
from imagewright.reading.trees import Kind

SECTIONS = ("packages", "flavours", "build", "boot", "partitions", "filesystems", "executables")
"""What is compared besides files, in the order in which it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A name whose value differs; None where one side lacks it."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A path that differs. ``what`` names each property with its two values; ``content`` has digests or none.

    A file that one side lacks is ``added`` or ``removed``, with ``size`` bytes.
    """

    path: str
    how: str  # added, removed, changed
    kind: str
    size: int = 0
    what: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChange:
    """A folder whose files have another size altogether, in bytes."""

    path: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``same_bytes``: the two files, or the disks in them, are equal byte by byte, and nothing else was looked at.

    ``sections`` holds the changes by section, those without any included; ``unknown`` the sections that one side does
    not tell of. ``bytes_only`` names where disks differ although nothing of what they hold does.
    """

    same_bytes: bool
    sections: Mapping[str, tuple[Change, ...]]
    files: tuple[FileChange, ...] = ()
    folders: tuple[FolderChange, ...] = ()
    unknown: tuple[str, ...] = ()
    bytes_only: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.same_bytes or not (any(self.sections.values()) or self.files or self.bytes_only)


def compare(before: Path, after: Path) -> Comparison:
    """Compare two images, or two manifests, or one with the other.

    Raises ImageUnreadable if one cannot be read, and UsageError if the two have nothing that can be compared.
    """
    with ExitStack() as stack:
        if _same_files(before, after):
            return Comparison(same_bytes=True, sections={})
        one, other = stack.enter_context(opened(before)), stack.enter_context(opened(after))
        with readable(after), readable(before):
            return _compared(one, other)


def _compared(one: Side, other: Side) -> Comparison:
    known = [name for name in SECTIONS if name in one.facts and name in other.facts]
    if not known:
        raise UsageError("nothing-to-compare", f"{one.path} and {other.path} have nothing that can be compared")
    facts = one.facts, other.facts
    if (one.blocks is None) != (other.blocks is None) and "boot" in known:
        # the command line names a filesystem, which an archive is none
        facts = _without_command_lines(one.facts), _without_command_lines(other.facts)
    sections = {name: tuple(_changes(facts[0][name], facts[1][name])) for name in known}
    unknown = [name for name in SECTIONS if name not in known and (name in one.facts or name in other.facts)]
    files: tuple[FileChange, ...] = ()
    folders: tuple[FolderChange, ...] = ()
    if one.files is None or other.files is None:
        unknown.append("files")
    else:
        mine, yours = one.files, other.files
        if (one.blocks is None) != (other.blocks is None):
            # an archive holds the tree of the machine and no other
            mine, yours = _of_machine(mine), _of_machine(yours)
            if len(mine) + len(yours) < len(one.files) + len(other.files):
                unknown.append("filesystems that the machine does not mount")
        files = tuple(_file_changes(mine, yours))
        folders = tuple(_folder_changes(mine, yours))
    nothing = not any(sections.values()) and not files
    where: tuple[str, ...] = ()
    if nothing and one.blocks is not None and other.blocks is not None:
        where = tuple(_regions(one, other, one.blocks, other.blocks))
    both_disks = one.blocks is not None and other.blocks is not None
    return Comparison(
        same_bytes=nothing and both_disks and not where,
        sections=sections,
        files=files,
        folders=folders,
        unknown=tuple(unknown),
        bytes_only=where,
    )


def _without_command_lines(facts: Mapping[str, Facts]) -> dict[str, Facts]:
    boot = {name: value for name, value in facts["boot"].items() if not name.startswith(COMMAND_LINE)}
    return {**facts, "boot": boot}


def _same_files(one: Path, other: Path) -> bool:
    """Whether two files have the same bytes; False where one cannot be read, which is told later."""
    try:
        if one.stat().st_size != other.stat().st_size or not (one.is_file() and other.is_file()):
            return False
        with one.open("rb") as first, other.open("rb") as second:
            while data := first.read(CHUNK):
                if data != second.read(CHUNK):
                    return False
    except OSError:
        return False
    return True


def _changes(before: Facts, after: Facts) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Change(name=name, before=before.get(name), after=after.get(name))


def _of_machine(files: Mapping[str, File]) -> dict[str, File]:
    return {path: file for path, file in files.items() if path.startswith("/")}


def _file_changes(before: Mapping[str, File], after: Mapping[str, File]) -> Iterator[FileChange]:
    for path in sorted({*before, *after}):
        one, other = before.get(path), after.get(path)
        if one is None:
            assert other is not None
            yield FileChange(path=path, how="added", kind=other.kind, size=other.size)
        elif other is None:
            yield FileChange(path=path, how="removed", kind=one.kind, size=one.size)
        else:
            what = tuple(_properties(one, other))
            if what:
                yield FileChange(path=path, how="changed", kind=other.kind, size=other.size, what=what)


def _properties(one: File, other: File) -> Iterator[Change]:
    """What differs of two files of one path; the content is read only where the sizes do not tell."""
    if one.kind is not other.kind:
        yield Change(name="kind", before=one.kind, after=other.kind)
        return
    if one.size != other.size:
        yield Change(name="size", before=str(one.size), after=str(other.size))
    elif one.kind is Kind.FILE:
        digests = one.digest(), other.digest()
        if digests[0] != digests[1]:
            yield Change(name="content", before=digests[0], after=digests[1])
    if one.target != other.target:
        yield Change(name="target", before=one.target, after=other.target)
    for name, mine, yours in (
        ("mode", _octal(one.mode), _octal(other.mode)),
        ("owner", _owner(one), _owner(other)),
        ("time", _number(one.time), _number(other.time)),
    ):
        if None not in (mine, yours) and mine != yours:
            yield Change(name=name, before=mine, after=yours)
    for name in sorted({*one.attributes, *other.attributes}):
        values = one.attributes.get(name), other.attributes.get(name)
        if values[0] != values[1]:
            yield Change(name=name, before=_hexadecimal(values[0]), after=_hexadecimal(values[1]))


def _octal(mode: int | None) -> str | None:
    return None if mode is None else f"{mode:04o}"


def _owner(file: File) -> str | None:
    return None if file.uid is None else f"{file.uid}:{file.gid}"


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _hexadecimal(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _folder_changes(before: Mapping[str, File], after: Mapping[str, File]) -> Iterator[FolderChange]:
    sums = _sums(before), _sums(after)
    for path in sorted({*sums[0], *sums[1]}):
        one, other = sums[0].get(path, 0), sums[1].get(path, 0)
        if one != other:
            yield FolderChange(path=path, before=one, after=other)


def _sums(files: Mapping[str, File]) -> dict[str, int]:
    """The bytes of all files below each folder."""
    sums: dict[str, int] = {}
    for path, file in files.items():
        folder = path if file.size else "/"
        while folder != "/":
            head, slash, _name = folder.rpartition("/")
            if not slash:
                break
            folder = head or "/"
            sums[folder] = sums.get(folder, 0) + file.size
    return sums


def _regions(one: Side, other: Side, mine: Blocks, yours: Blocks) -> Iterator[str]:
    """Where two disks that hold the same differ: the partitions, or what lies outside of them."""
    told = set()
    for at in range(0, max(mine.size, yours.size), CHUNK):
        length = min(CHUNK, mine.size - at, yours.size - at)
        if length <= 0:
            break
        first, second = mine.read(at, length), yours.read(at, length)
        if first == second:
            continue
        byte = at + next(index for index in range(length) if first[index] != second[index])
        place = next(
            (name for name, offset, size in one.parts if offset <= byte < offset + size), "outside of the partitions"
        )
        if place not in told:
            told.add(place)
            yield f"{place}, first at byte {byte}"
