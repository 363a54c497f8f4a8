"""What the CPU of a build goes to, by program: ours from the start, ours after a change, the classic pipeline.

``python benchmarks/programs.py``, as root, with perf(1) (Debian's ``linux-perf``). It says what holds the targets that
``field.py`` sees missed: samples of all processes, a few hundred a second, told apart by the program they fell into.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import field
from measuring import Cost

RATE = 199  # samples a second and core; no divisor of what happens at round intervals

WORK = (
    ("index of the kernel's modules", ("depmod",)),
    ("apt: indexes, resolution, order", ("apt*", "store", "http", "gpg*", "sqv", "mmdebstrap", "mmtarfilter")),
    ("dpkg: unpacking, database", ("dpkg", "dpkg-*", "imagewright-dpk", "tar", "rm")),
    ("Python modules of packages, compiled", ("python3*", "py3compile")),
    (
        "scripts of packages in Perl: units, questions, accounts",
        ("deb-systemd*", "frontend", "add*", "pam-*", "update-*"),
    ),
    ("initramfs, without its index of modules", ("mkinitramfs", "dracut-install", "zstd", "cpio", "cp", "find")),
    ("filesystem", ("mke2fs", "debugfs")),
    ("boot loader", ("grub-*",)),
    ("image file, sums, planning", ("disk-image-*", "qemu-img", "sha256sum")),
    ("sandbox", ("python", "passt*")),
)
"""What is done, and the programs that do it, by the first 15 letters of their names; the first that fits counts."""

OWN = frozenset(name for name, _programs in WORK if name.startswith(("index", "Python", "scripts", "initramfs")))
"""What programs of the image do: scripts of packages and what they call, and its tool for the initramfs."""

REST = "all else"
UNPACKING = "of all this: xz, mostly of kernel modules"


def main() -> int:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--release", default="trixie")
    parser.add_argument("--flavour", action="append", help="flavours to build (default: debian vm)")
    parser.add_argument("--folder", type=Path, default=field.default_folder(), help="for mirror and caches")
    options = parser.parse_args()
    if shutil.which("perf") is None:
        raise SystemExit("perf is not here: apt-get install linux-perf")
    with field.prepared(options) as bench:
        cache = bench.folder / "ours"
        found = {"cold build": profiled(bench, lambda: bench.measure_ours("--no-cache", cache=cache))}
        bench.measure_ours(cache=cache)
        bench.write_last("changed")
        found["last script changed"] = profiled(bench, lambda: bench.measure_ours(cache=cache))
        found["classic pipeline"] = profiled(bench, bench.measure_classic)
    print(json.dumps(document(found), indent=2))
    return 0


def profiled(bench: field.Bench, measure: Callable[[], Cost]) -> dict[str, float]:
    """CPU seconds by work of a command that ``measure`` runs while all cores are sampled.

    Samples say how it is shared out, the kernel's own accounting (:class:`Cost`) how much there is.
    """
    data = bench.scratch / "samples"
    sampler = subprocess.Popen(
        ["perf", "record", "-q", "-a", "-F", str(RATE), "-o", data], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        cost = measure()
    finally:
        sampler.terminate()
        sampler.wait()
    programs = shares(data, "comm")
    programs = {name: share for name, share in programs.items() if name not in ("perf", "swapper")}
    libraries = shares(data, "dso")
    data.unlink()
    known = sum(programs.values())
    seconds = dict.fromkeys([name for name, _programs in WORK] + [REST], 0.0)
    for name, share in programs.items():
        seconds[work_of(name)] += cost.cpu * share / known
    xz = sum(share for name, share in libraries.items() if name.startswith("liblzma"))
    return {**seconds, UNPACKING: cost.cpu * xz / known, "all": cost.cpu}


def work_of(program: str) -> str:
    """What a program is there for."""
    for name, patterns in WORK:
        if any(fnmatchcase(program, pattern) for pattern in patterns):
            return name
    return REST


def shares(data: Path, key: str) -> dict[str, float]:
    """How the samples are shared out, in per cent of all, by ``comm`` (program) or ``dso`` (library)."""
    argv = ["perf", "report", "-i", data, "--sort", key, "--stdio", "--percentage", "absolute", "-F", f"overhead,{key}"]
    printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = {}
    for line in printed.splitlines():
        share, _, name = line.strip().partition("%")
        if name and not line.startswith("#"):
            found[name.strip()] = float(share)
    return found


def document(found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The table of the page, a line for each work and a column for each way, and what it says of the targets."""
    ways = list(found)
    ours, classic = (sum(found[way][name] for name in OWN) for way in ("cold build", "classic pipeline"))
    note = (
        "what programs of the image do themselves (indexes, compiled modules, scripts of packages, initramfs) is "
        f"{ours:.1f} s of our cold build and {classic:.1f} s of the classic pipeline: with nothing else to do, and not "
        f"a package unpacked, ours would be at {ours / found['classic pipeline']['all']:.2f} times all of the pipeline"
    )
    table = {"columns": ["CPU s of", *ways], "lines": list(lines(found, ways))}
    return {"rows": [], "tables": [table], "notes": [note]}


def lines(found: Mapping[str, Mapping[str, float]], ways: Sequence[str]) -> Iterator[list[str]]:
    """The lines, dearest first, with what they are part of at the end."""
    last = (REST, UNPACKING, "all")
    for name in sorted((one for one in found[ways[0]] if one not in last), key=lambda one: -found[ways[0]][one]):
        yield [name, *(f"{found[way][name]:.1f}" for way in ways)]
    for name in last:
        yield [name, *(f"{found[way][name]:.1f}" for way in ways)]


if __name__ == "__main__":
    sys.exit(main())
