"""What ``disk-image-get-kernel`` costs beside the usual way: ``qemu-img convert`` to raw, then ``grub-fstest``.

``python benchmarks/get_kernel.py IMAGE`` with a qcow2 image whose kernels are in ``/boot`` of a partition. Both ways
run in turn on the same image; the best of the runs counts, in wall and CPU time. Below ``--at-least`` it exits with 1.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "disk-image-get-kernel"


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

        def ours() -> None:
            output([PROGRAM, image, "-o", place / "ours"])

        def usual() -> None:
            raw = place / "disk.raw"
            output(["qemu-img", "convert", "-O", "raw", image, raw])
            for kind in ("kernel", "ramdisk"):
                source = f"(loop0,{number}){found['sources'][kind]}"
                output(["grub-fstest", raw, "cp", source, place / f"usual.{kind}"])
            raw.unlink()

        pairs = [(timed(usual), timed(ours)) for _ in range(options.runs)]
        for kind in ("kernel", "ramdisk"):
            if not filecmp.cmp(place / f"usual.{kind}", place / f"ours.{kind}", shallow=False):
                raise SystemExit(f"the two ways give different files: {kind}")
    best = [[min(pair[way][what] for pair in pairs) for what in (0, 1)] for way in (0, 1)]
    ratio = best[0][0] / best[1][0]
    document = {
        "image": image.name,
        "bytes": image.stat().st_size,
        "usual": {"wall": round(best[0][0], 3), "cpu": round(best[0][1], 3)},
        "get-kernel": {"wall": round(best[1][0], 3), "cpu": round(best[1][1], 3)},
        "ratio": {"wall": round(ratio, 1), "cpu": round(best[0][1] / best[1][1], 1)},
    }
    print(json.dumps(document, indent=2))
    return 0 if ratio >= options.at_least else 1


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


def timed(action: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of an action and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    action()
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
