"""Building from images, and what every image keeps."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from imagewright.errors import StepFailed
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .conftest import CAPABILITY, add

MAIL = b"\0" * 3_000_000 + b"end"


def build(kit: ImageKit, image: Path | str = "", *flavours: str, **options: object) -> Built:
    # files newer than the packages get the packages' date
    options.setdefault("environment", {"SOURCE_DATE_EPOCH": "1700000000"})
    options.setdefault("skip_base", True)
    options.setdefault("operating_system", "cloud-image")
    return kit.build(*flavours, base_image_file=str(image), fresh=True, **options)


def fails(kit: ImageKit, image: Path | str, match: str, kind: type[Exception] = StepFailed, **options: object) -> str:
    options.setdefault("skip_base", True)
    options.setdefault("operating_system", "cloud-image")
    return str(kit.fails(base_image_file=str(image), fresh=True, match=match, kind=kind, **options))


def assert_kept(built: Built) -> None:
    """Everything that an image says of its files is in the tree."""
    assert built.mode("usr/bin/su") == 0o4755
    assert built.owner("etc/shadow") == (0, 42)
    assert (built.mode("var/mail"), built.owner("var/mail")) == (0o2775, (0, 8))
    assert built.owner("var/mail/ann") == (1000, 8)
    assert built.mode("tmp") == 0o1777
    assert built.tree.get("usr/bin/ping").attributes["security.capability"] == CAPABILITY
    assert built.link("bin") == "usr/bin"
    with tarfile.open(built.path("tar")) as archive:
        by_name = {info.name.removeprefix("./"): info for info in archive}
        assert by_name["usr/bin/ping"].mtime == 1_600_000_000
        pair = {by_name[name].islnk() for name in ("usr/bin/su", "usr/bin/su-again")}
        assert pair == {True, False}, "a hard link became a file of its own"
        stream = archive.extractfile(by_name["var/mail/ann"])
        assert stream is not None
        assert stream.read() == MAIL


def extended(toy_tree: bytes, path: Path, *members: dict[str, object]) -> Path:
    """The toy tree with more members behind its own."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(toy_tree)) as source,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for info in source:
            made.addfile(info, source.extractfile(info) if info.isreg() else None)
        for member in members:
            add(made, **member)  # type: ignore[arg-type]
    path.write_bytes(out.getvalue())
    return path


def without(tree: bytes, *names: str) -> bytes:
    """The archive without these names and what is below them."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tree)) as source,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for info in source:
            path = info.name.removeprefix("./")
            if not any(path == name or path.startswith(f"{name}/") for name in names):
                made.addfile(info, source.extractfile(info) if info.isreg() else None)
    return out.getvalue()
