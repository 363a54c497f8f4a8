"""What lies beside an image or a ramdisk: manifest, bill of materials, statement, sums and signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagewright.building.artefacts.files import Artefact, finished, sha256_of
from imagewright.building.artefacts.manifest import write_manifest, write_sums
from imagewright.building.state import Building
from imagewright.request import Request
from imagewright.sandbox.jobs import TARGET, PythonJob
from imagewright.supplychain.attesting import LOOK, attest, sign
from imagewright.supplychain.request import OPTIONAL


def write_beside(
    request: Request,
    folder: Path,
    stem: str,
    *,
    manifest: Mapping[str, Any],
    artefacts: Sequence[Artefact],
    building: Building | None,
) -> list[Path]:
    """Write all of it into ``folder``, where the artefacts lie; their paths with those of the artefacts, first these.

    ``building`` holds the root tree, if there is one. Raises UsageError, HostError.
    """

    def look(packages: list[str]) -> Mapping[str, Any]:
        if building is None:
            return {}
        job = PythonJob(
            function=LOOK,
            arguments={"target": TARGET, "packages": packages},
            stack=building.stack(tools=False),
            network=False,
        )
        found = building.sandbox.call(job, building.output)
        return found if isinstance(found, dict) else {}

    beside = request.beside
    path, sums = folder / f"{stem}.manifest.json", folder / f"{stem}.sha256"
    write_manifest(manifest, path)
    others = [path, *attest(beside, folder, stem, manifest, look, sha256_of, request.environment)]
    write_sums([*artefacts, *map(finished, others)], sums)
    return [*(one.path for one in artefacts), *others, sums, *sign(beside.signers, sums, request.environment)]


def stale_beside(written: Sequence[Path], output: Path, stem: str) -> tuple[Path, ...]:
    """What an earlier build left beside an image that is about to be replaced by ``written`` and that has none of it.

    Nothing where the sums are the same: then a signature that the user made is still one of this image.
    """
    ready = {path.name: path for path in written}
    try:
        if output.with_name(f"{stem}.sha256").read_bytes() == ready[f"{stem}.sha256"].read_bytes():
            return ()
    except OSError:  # there was no image
        pass
    return tuple(output.with_name(f"{stem}{suffix}") for suffix in OPTIONAL if f"{stem}{suffix}" not in ready)


def remove(paths: Iterable[Path]) -> None:
    """Remove files, as far as that is allowed."""
    for path in paths:
        with suppress(OSError):
            path.unlink()
