"""What an image costs beside diskimage-builder and beside the classic pipeline, in one run and from one mirror.

``python benchmarks/field.py``, as root, since both others need it. All make a qcow2 under zstd with the packages of
``debian vm``: ours with partitions, two boot loaders and a blank slate; the others one filesystem without (``dib.py``
and ``classic.sh`` say why). They run in turn, and the best of the runs counts. Everything comes from a mirror on this
machine (``mirror.py``), which no measured command pays for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dib
from measuring import BIN, Cost, best, finish, measured, row
from mirror import mirror

HERE = Path(__file__).parent
NO_DISK = (
    "diskimage-builder makes one filesystem without partitions and boot loader here, of `debian-minimal` and the same "
    "packages, as qcow2 under zstd; what the kernel does for its loop device counts for nobody"
)
LESS = "the classic pipeline makes one filesystem without partitions and boot loader, and tidies nothing up"
LAST = "#!/bin/sh\nset -eu\necho {word} >/etc/last\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where everything lies and what is built."""

    folder: Path
    scratch: Path
    ram: Path
    address: str
    release: str
    flavours: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """What the last command said."""
        return self.scratch / "log"

    # -- ours

    def ours(self, *options: str | Path, cache: Path, name: str = "ours") -> list[str | Path]:
        """Our command."""
        mirrors = ["--mirror", self.address, "--set", "debian.security-mirror=none", "--release", self.release]
        where: list[str | Path] = [
            "--cache-dir",
            cache,
            "-o",
            self.scratch / name,
            "--flavour-path",
            self.scratch / "own",
        ]
        return [
            BIN / "disk-image-create",
            "--progress",
            "none",
            *mirrors,
            *where,
            *options,
            *self.flavours,
            "bench-last",
        ]

    def measure_ours(self, *options: str | Path, cache: Path, name: str = "ours") -> Cost:
        """Run it."""
        command = self.ours(*options, cache=cache, name=name)
        return measured(command, environment=without_proxies(), log=self.log, folder=self.scratch)

    def write_last(self, word: str) -> None:
        """Write the flavour that has the last script of ``install``."""
        script = self.scratch / "own" / "bench-last" / "install.d" / "99-last"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(LAST.format(word=word))
        script.chmod(0o755)

    # -- the others

    def measure_classic(self) -> Cost:
        """The classic pipeline."""
        output = self.scratch / "classic.qcow2"
        words: list[str | Path] = [HERE / "classic.sh", self.ram, output, self.address, self.release]
        cost = measured([*words, ",".join(self.packages)], environment=without_proxies(), log=self.log)
        output.unlink()
        return cost

    def measure_dib(self, binaries: Path) -> Cost:
        """diskimage-builder."""
        words = dib.command(self.scratch / "dib", self.packages)
        environment = dib.environment(
            without_proxies(),
            binaries=binaries,
            folder=self.folder / "dib",
            mirror=self.address,
            release=self.release,
            cache=self.folder / "dib" / "cache",
        )
        cost = measured([binaries / words[0], *words[1:]], environment=environment, log=self.log, folder=self.scratch)
        shutil.copyfile(self.log, self.folder / "dib" / "last.log")
        (self.scratch / "dib.qcow2").unlink()
        return cost


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=2, help="how often each way runs (default: 2)")
    parser.add_argument("--release", default="trixie")
    parser.add_argument("--flavour", action="append", help="flavours to build (default: debian vm)")
    parser.add_argument("--without", action="append", default=[], choices=["dib", "classic"], help="leave one out")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="for mirror, caches and environments")
    options = parser.parse_args()
    if os.geteuid():
        raise SystemExit("diskimage-builder and mmdebstrap in root mode need root")
    # so that folders, server and the running command go when somebody ends this
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with prepared(options) as bench:
        return finish(document(bench, options.runs, options.without))


def without_proxies() -> dict[str, str]:
    """The caller's variables, but for proxies: the mirror is on this machine."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def default_folder() -> Path:
    """Below the cache."""
    from imagewright.cli.places import cache_folder

    return cache_folder() / "bench"


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Bench]:
    """The mirror, empty folders, and a first build of ours that tells the packages and fills the mirror."""
    options.folder.mkdir(parents=True, exist_ok=True)
    with (
        mirror(options.folder / "mirror") as address,
        tempfile.TemporaryDirectory(dir=options.folder, prefix="run-") as scratch,
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="imagewright-bench-") as ram,
    ):
        bench = Bench(
            folder=options.folder,
            scratch=Path(scratch),
            ram=Path(ram),
            address=address,
            release=options.release,
            flavours=tuple(options.flavour or ("debian", "vm")),
        )
        bench.write_last("first")
        bench.measure_ours(cache=options.folder / "ours")
        manifest = json.loads((bench.scratch / "ours.manifest.json").read_text())
        names = tuple(sorted({package["name"] for package in manifest["packages"]}))
        yield Bench(**{name: getattr(bench, name) for name in Bench.__slots__ if name != "packages"}, packages=names)


def document(bench: Bench, runs: int, without: Sequence[str]) -> dict[str, Any]:
    """All rows."""
    cold: list[Cost] = []
    first: list[Cost] = []
    theirs: dict[str, list[Cost]] = {name: [] for name in ("dib", "classic") if name not in without}
    binaries = dib.installed(bench.folder / "dib") if "dib" in theirs else None
    for number in range(runs):
        cold.append(bench.measure_ours("--no-cache", cache=bench.folder / "ours"))
        fresh = bench.scratch / f"fresh-{number}"
        first.append(bench.measure_ours(cache=fresh))
        shutil.rmtree(fresh)
        if "classic" in theirs:
            theirs["classic"].append(bench.measure_classic())
        if binaries is not None:
            theirs["dib"].append(bench.measure_dib(binaries))
    bench.measure_ours(cache=bench.folder / "ours")
    nothing, rebuilt = [], []
    for number in range(max(3, runs)):
        nothing.append(bench.measure_ours(cache=bench.folder / "ours"))
        bench.write_last(f"again-{number}-{os.getpid()}")
        rebuilt.append(bench.measure_ours(cache=bench.folder / "ours"))
    costs = {name: best(found) for name, found in theirs.items()}
    return {
        "runs": runs,
        "packages": len(bench.packages),
        "diskimage-builder": dib.version(binaries) if binaries else "",
        "rows": list(rows(best(cold), best(first), best(rebuilt), best(nothing), costs)),
    }


def rows(cold: Cost, first: Cost, rebuilt: Cost, nothing: Cost, theirs: dict[str, Cost]) -> Iterator[dict[str, Any]]:
    """The rows, with their targets."""
    image = "`debian vm` to qcow2"
    if "dib" in theirs:
        builder = theirs["dib"]
        cpu, wall = builder.cpu / cold.cpu, builder.wall / cold.wall
        yield row(
            f"cold build of {image}, packages in the local store",
            "6 times less CPU and 5 times less wall time than diskimage-builder",
            met=cpu >= 6 and wall >= 5,
            value=f"{cpu:.1f} times less CPU, {wall:.1f} times less wall time",
            note=NO_DISK,
            ours=cold,
            diskimage_builder=builder,
        )
    if "classic" in theirs:
        ratio = cold.cpu / theirs["classic"].cpu
        yield row(
            f"cold build of {image}, packages in the local store",
            "at most 0.4 times the CPU of the classic pipeline",
            met=ratio <= 0.4,
            value=f"{ratio:.2f} times the CPU, {cold.wall / theirs['classic'].wall:.2f} times the wall time",
            note=LESS,
            ours=cold,
            classic_pipeline=theirs["classic"],
        )
        ratio = first.cpu / theirs["classic"].cpu
        yield row(
            f"first build ever of {image}",
            "at most 0.7 times the CPU of the classic pipeline",
            met=ratio <= 0.7,
            value=f"{ratio:.2f} times the CPU, {first.wall / theirs['classic'].wall:.2f} times the wall time",
            note="the mirror is on this machine, so that the network's speed is no part of it; in our cache is nothing",
            ours=first,
            classic_pipeline=theirs["classic"],
        )
    if "dib" in theirs:
        ratio = theirs["dib"].wall / rebuilt.wall
        yield row(
            "rebuild after the last script of install changed",
            "20 times faster than diskimage-builder, and at most 6 s",
            met=ratio >= 20 and rebuilt.wall <= 6,
            value=f"{ratio:.0f} times faster, {rebuilt.wall:.1f} s",
            note="diskimage-builder builds from the start whatever changed",
            ours=rebuilt,
            diskimage_builder=theirs["dib"],
        )
    else:
        yield row(
            "rebuild after the last script of install changed",
            "at most 6 s",
            met=rebuilt.wall <= 6,
            value=f"{rebuilt.wall:.1f} s",
            ours=rebuilt,
        )
    yield row(
        "nothing changed",
        "at most 0.7 s",
        met=nothing.wall <= 0.7,
        value=f"{nothing.wall:.2f} s",
        ours=nothing,
    )


if __name__ == "__main__":
    sys.exit(main())
