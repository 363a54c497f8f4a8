"""What ``disk-image-get-kernel`` costs beside the usual way: ``qemu-img convert`` to raw, then ``grub-fstest``.

``python benchmarks/get_kernel.py IMAGE`` with a qcow2 image whose kernels are in ``/boot`` of a partition. Both ways
run in turn on the same image; the best of the runs counts, in wall and CPU time. Below ``--at-least`` it exits with 1.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import BIN, Cost, best, finish, measured, row

PROGRAM = BIN / "disk-image-get-kernel"


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--runs", type=int, default=5, help="how often each way runs (default: 5)")
    parser.add_argument("--at-least", type=float, default=10.0, help="the ratio of wall times to reach (default: 10)")
    options = parser.parse_args()
    image = options.image.absolute()
    with tempfile.TemporaryDirectory(dir=image.parent) as folder:
        place = Path(folder)
        found = json.loads(output([PROGRAM, image, "--json", "-o", place / "ours"]))
        number = partition(image)

        def ours() -> Cost:
            return measured([PROGRAM, image, "-o", place / "ours"])

        def usual() -> Cost:
            raw = place / "disk.raw"
            cost = measured(["qemu-img", "convert", "-O", "raw", image, raw])
            for kind in ("kernel", "ramdisk"):
                source = f"(loop0,{number}){found['sources'][kind]}"
                cost += measured(["grub-fstest", raw, "cp", source, place / f"usual.{kind}"])
            raw.unlink()
            return cost

        pairs = [(usual(), ours()) for _ in range(options.runs)]
        for kind in ("kernel", "ramdisk"):
            if not filecmp.cmp(place / f"usual.{kind}", place / f"ours.{kind}", shallow=False):
                raise SystemExit(f"the two ways give different files: {kind}")
    converting, reading = (best([pair[way] for pair in pairs]) for way in (0, 1))
    ratio = converting.wall / reading.wall
    return finish(
        {
            "image": f"{image.name} of {image.stat().st_size / 2**20:.0f} MiB",
            "rows": [
                row(
                    "kernel and ramdisk out of a qcow2",
                    f"≥ {options.at_least:g} times faster than converting it first",
                    met=ratio >= options.at_least,
                    value=f"{ratio:.1f} × wall, {converting.cpu / reading.cpu:.1f} × CPU",
                    note="converting is `qemu-img convert` to raw and `grub-fstest`, on all cores",
                    get_kernel=reading,
                    converting=converting,
                )
            ],
        }
    )


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
