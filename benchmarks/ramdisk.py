"""What ``ramdisk-image-create`` costs beside ``update-initramfs`` in a chroot, and beside a floor made by hand.

``python benchmarks/ramdisk.py FLAVOUR...`` makes a ramdisk of these flavours from a warm tree; ``update-initramfs``
makes the tree's own in the same tree. The floor is a Python function that reads the very files that the ramdisk holds,
by a list, and writes cpio's newc through zstd, also what is compressed already: nobody resolves anything. All run in
turn; the best of the runs counts, in wall time. Beyond the bounds it exits with 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import finish, row

PROGRAM = Path(sys.executable).parent / "ramdisk-image-create"


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flavours", nargs="+", help="an operating-system flavour and flavours of ramdisks")
    parser.add_argument("--runs", type=int, default=3, help="how often each way runs (default: 3)")
    parser.add_argument("--at-least", type=float, default=10.0, help="times faster than update-initramfs (default: 10)")
    parser.add_argument("--at-most", type=float, default=1.5, help="times the floor, inside the sandbox (default: 1.5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "bench.ramdisk")
        create(output, options.flavours)
        rows = [{**fresh(options.flavours), **inside(output, options.flavours)} for _ in range(options.runs)]
        best = {name: min(row[name] for row in rows) for name in rows[0]}
        size = output.stat().st_size
    to_usual, to_floor = best["update-initramfs"] / best["command"], best["contents"] / best["floor"]
    costs = {name: f"{value:.2f} s" for name, value in best.items()}
    return finish(
        {
            "flavours": " ".join(options.flavours),
            "size": f"{size / 2**20:.1f} MiB",
            "seconds": ", ".join(f"{name} {seconds}" for name, seconds in costs.items()),
            "rows": [
                row(
                    "a ramdisk from a warm tree, the whole command",
                    f"≥ {options.at_least:g} times faster than update-initramfs in a chroot",
                    met=to_usual >= options.at_least,
                    value=f"{to_usual:.1f} × wall",
                ),
                row(
                    "the contents of a ramdisk beside the floor made by hand",
                    f"≤ {options.at_most:g} × the floor",
                    met=to_floor <= options.at_most,
                    value=f"{to_floor:.2f} × wall; the whole command {best['command'] / best['floor']:.1f} ×",
                    note="the floor reads a list of files through cpio and zstd in a running Python, and compresses "
                    "what is compressed already too, which ours leaves plain; the command starts Python, looks at "
                    "the flavours, opens the tree and puts two files in place besides",
                ),
            ],
        }
    )


def create(output: Path, flavours: list[str]) -> None:
    """Make the ramdisk by the command."""
    subprocess.run([PROGRAM, "--progress", "none", "-o", output, *flavours], check=True, stdout=subprocess.DEVNULL)


def fresh(flavours: list[str]) -> dict[str, float]:
    """Seconds of the whole command, where there is no ramdisk yet, as there is none for ``update-initramfs -c``."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        create(Path(folder, "bench.ramdisk"), flavours)
        return {"command": time.monotonic() - begun}


def inside(output: Path, flavours: list[str]) -> dict[str, float]:
    """Seconds of what runs in the tree: ours, the floor, and the operating system's own tool."""
    from imagewright.building import preloads
    from imagewright.building.ramdisks.build import build_ramdisk
    from imagewright.building.tree.growing import grow, opened
    from imagewright.cli.places import cache_folder
    from imagewright.events import SilentMonitor, StepFinished
    from imagewright.planning.ramdisks import plan_ramdisk
    from imagewright.request import RamdiskRequest, Request
    from imagewright.sandbox.jobs import TARGET, WORK, Job, PythonJob
    from imagewright.testing.ramdisks import unpacked

    class Steps(SilentMonitor):
        contents = 0.0

        def handle(self, event: object) -> None:
            """Keep the time of the step that makes the contents."""
            if isinstance(event, StepFinished) and event.phase == "ramdisk":
                self.contents = event.seconds

    image = Request(
        flavours=tuple(flavours),
        output=output,
        types=(),
        default_operating_system="",
        cache_dir=cache_folder(),
        environment=dict(os.environ),
    )
    request, steps = RamdiskRequest(image=image), Steps()
    build_ramdisk(request, steps, log=output.with_suffix(".log"))
    files = [node.path for node in unpacked(output.read_bytes()) if node.mode & 0o170000 == 0o100000]
    tree = plan_ramdisk(request).tree
    assert tree is not None
    log = output.with_suffix(".log")
    with opened(
        tree.request, tree.prepared, SilentMonitor(), log=log, preload=(*preloads.RAMDISK, "ramdisk")
    ) as building:
        grow(building)
        stack = building.stack(tools=False)
        job = PythonJob(
            function="ramdisk:floor", arguments={"root": TARGET, "paths": files, "place": f"{WORK}/floor"}, stack=stack
        )
        floor_seconds = float(str(building.sandbox.call(job, building.output)))
        begun = time.monotonic()
        usual = Job(
            argv=("update-initramfs", "-c", "-k", building.kernel),
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            stack=building.stack(upper="usual", tools=False),
            inside=True,
        )
        status = building.sandbox.run(usual, building.output)
        if status:
            raise SystemExit(f"update-initramfs ended with status {status}")
        return {
            "contents": steps.contents,
            "floor": floor_seconds,
            "update-initramfs": time.monotonic() - begun,
        }


def floor(*, root: str, paths: list[str], place: str) -> float:
    """Read files by a list and write them as an archive through zstd; the seconds that it took."""
    import zstandard

    begun = time.monotonic()
    with open(place, "wb") as stream:
        compressor = zstandard.ZstdCompressor(level=3, threads=os.cpu_count() or 1).compressobj()
        for path in paths:
            try:
                with open(f"{root}/{path}", "rb") as file:
                    content = file.read()
            except FileNotFoundError:  # /init and what flavours give
                continue
            name = path.encode() + b"\0"
            numbers = (1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
            head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name
            stream.write(compressor.compress(head + bytes(-len(head) % 4)))
            stream.write(compressor.compress(content + bytes(-len(content) % 4)))
        stream.write(compressor.flush())
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
