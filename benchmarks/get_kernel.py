"""What ``disk-image-get-kernel`` costs beside the usual way: ``qemu-img convert`` to raw, then ``grub-fstest``.

``python benchmarks/get_kernel.py IMAGE…`` with qcow2 images whose kernels are in ``/boot`` of a partition; each has a
row. Both ways run in turn on the same image, each into an empty folder; the best of the runs counts, in wall and CPU
time. Below ``--at-least`` it exits with 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import BIN, Cost, best, finish, measured, row

PROGRAM = BIN / "disk-image-get-kernel"
KINDS = ("kernel", "ramdisk")


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--runs", type=int, default=5, help="how often each way runs (default: 5)")
    parser.add_argument("--at-least", type=float, default=10.0, help="the ratio of wall times to reach (default: 10)")
    options = parser.parse_args()
    images = [image.absolute() for image in options.images]
    return finish(
        {
            "images": ", ".join(f"{image.name} of {_mebibytes(image)}" for image in images),
            "rows": [compared(image, options.runs, options.at_least) for image in images],
        }
    )


def compared(image: Path, runs: int, at_least: float) -> dict[str, Any]:
    """The row of one image."""
    with tempfile.TemporaryDirectory(dir=image.parent) as folder:
        place = Path(folder)
        found = json.loads(output([PROGRAM, image, "--json", "-o", place / "ours"]))
        number = partition(image)

        def ours() -> Cost:
            start_anew(place)
            return measured([PROGRAM, image, "-o", place / "ours"])

        def usual() -> Cost:
            start_anew(place)
            raw = place / "disk.raw"
            cost = measured(["qemu-img", "convert", "-O", "raw", image, raw])
            for kind in KINDS:
                source = f"(loop0,{number}){found['sources'][kind]}"
                cost += measured(["grub-fstest", raw, "cp", source, place / f"usual.{kind}"])
            return cost

        pairs = []
        for _ in range(runs):
            converting = usual()
            digests = [digest(place / f"usual.{kind}") for kind in KINDS]
            pairs.append((converting, ours()))
            if digests != [digest(place / f"ours.{kind}") for kind in KINDS]:
                raise SystemExit(f"the two ways give different files of {image.name}")
    converting, reading = (best([pair[way] for pair in pairs]) for way in (0, 1))
    ratio = converting.wall / reading.wall
    return row(
        f"kernel and ramdisk out of a qcow2 of {_mebibytes(image)}",
        f"≥ {at_least:g} times faster than converting it first",
        met=ratio >= at_least,
        value=f"{ratio:.1f} × wall, {converting.cpu / reading.cpu:.1f} × CPU",
        note="converting is `qemu-img convert` to raw and `grub-fstest`, on all cores",
        get_kernel=reading,
        converting=converting,
    )


def start_anew(folder: Path) -> None:
    """Empty the folder: with the files of one way goes what of them is still to be written, a burden of the other."""
    for path in folder.iterdir():
        path.unlink()


def digest(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mebibytes(image: Path) -> str:
    return f"{image.stat().st_size / 2**20:.0f} MiB"


def output(argv: list[str | Path]) -> str:
    """What a command prints; it must end well."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def partition(image: Path) -> str:
    """How GRUB names the partition of the root filesystem."""
    from imagewright.reading.images import open_image
    from imagewright.reading.systems import find_system

    with open_image(image) as opened:
        volume = find_system(opened).root_volume
        if volume is None or volume.partition is None:
            raise SystemExit("the image has no partition with a root filesystem")
        return ("gpt" if opened.table == "gpt" else "msdos") + str(volume.partition.number)


if __name__ == "__main__":
    sys.exit(main())
