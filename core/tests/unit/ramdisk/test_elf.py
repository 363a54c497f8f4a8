"""What an ELF file needs, against what pyelftools and the loader of this machine say of the same files."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagewright.ramdisk.elf import NotElf, read_elf, read_versions

ENV = str(Path(shutil.which("env") or "/usr/bin/env").resolve())


LIBRARIES = sorted(Path("/lib").glob("*-linux-gnu/*.so.*")) + sorted(Path("/lib64").glob("*.so.*"))


def some_programs() -> list[str]:
    found = sorted({str(path.resolve()) for path in Path("/usr/bin").iterdir() if path.is_file()})
    return [path for path in found if Path(path).open("rb").read(4) == b"\x7fELF"][:60]


def test_what_is_read_is_what_pyelftools_reads() -> None:
    programs = some_programs()
    assert len(programs) > 20
    for place in programs:
        elf = read_elf(place)
        assert elf is not None
        with open(place, "rb") as stream:
            other = ELFFile(stream)
            interpreters = [one.get_interp_name() for one in other.iter_segments() if one.header.p_type == "PT_INTERP"]
            dynamic = [one for one in other.iter_segments() if one.header.p_type == "PT_DYNAMIC"]
            tags = [tag for one in dynamic for tag in one.iter_tags()]
            needed = [tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"]
            runpath = [part for tag in tags if tag.entry.d_tag == "DT_RUNPATH" for part in tag.runpath.split(":")]
            bits = other.elfclass
        assert [elf.interpreter] == (interpreters or [""]), place
        assert list(elf.needed) == needed, place
        assert list(elf.runpath) == runpath, place
        assert elf.bits == bits


def test_symbol_versions_are_those_that_pyelftools_reads() -> None:
    libc = next(place for place in LIBRARIES if place.name == "libc.so.6")
    defined = read_versions(str(libc)).defines
    with libc.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".gnu.version_d")
        assert defined == {next(auxiliaries).name for _, auxiliaries in section.iter_versions()}
    assert "GLIBC_2.2.5" in defined
    for place in some_programs():
        with open(place, "rb") as stream:
            section = ELFFile(stream).get_section_by_name(".gnu.version_r")
            theirs = {
                need.name: {one.name for one in auxiliaries if not one.entry.vna_flags & 2}
                for need, auxiliaries in (section.iter_versions() if section is not None else ())
            }
        assert read_versions(place).needs == theirs, place


def test_what_is_no_elf_file_is_none(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert read_elf(str(script)) is None
    script.write_text("")
    assert read_elf(str(script)) is None


def test_libraries_that_are_opened_at_run_time_are_read_from_their_notes(tmp_path: Path) -> None:
    wanted = [{"feature": "kmod", "priority": "recommended", "soname": ["libkmod.so.2", "libkmod.so.1"]}]
    suggested = [{"feature": "qrencode", "priority": "suggested", "soname": ["libqrencode.so.4"]}]
    notes = b"".join(note(json.dumps(one).encode()) for one in (wanted, suggested))
    place = tmp_path / "program"
    place.write_bytes(program_with_note(notes))
    elf = read_elf(str(place))
    assert elf is not None
    assert elf.opened == (("libkmod.so.2", "libkmod.so.1"),)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(cut=st.integers(0, 4096), at=st.integers(4, 1500), value=st.integers(0, 255))
def test_a_damaged_file_is_refused_or_read_and_nothing_else(tmp_path: Path, cut: int, at: int, value: int) -> None:
    content = bytearray(Path(ENV).read_bytes()[: 8192 + cut])
    content[at] = value
    place = tmp_path / "damaged"
    place.write_bytes(content)
    with contextlib.suppress(NotElf):
        assert read_elf(str(place)) is not None
        read_versions(str(place))


def test_the_loader_of_this_machine_finds_nothing_else() -> None:
    done = subprocess.run(["ldd", ENV], capture_output=True, text=True, check=True)
    loaded = {line.split()[0] for line in done.stdout.splitlines() if "=>" in line}
    elf = read_elf(ENV)
    assert elf is not None
    assert set(elf.needed) <= loaded


def note(content: bytes) -> bytes:
    content += b"\0"
    return struct.pack("<III", 4, len(content), 0x407C0C0A) + b"FDO\0" + content + bytes(-len(content) % 4)


def program_with_note(notes: bytes) -> bytes:
    """An ELF file of 64 bits whose one segment holds notes."""
    head = (
        b"\x7fELF"
        + bytes([2, 1, 1])
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    return head + struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(notes), len(notes), 4) + notes
