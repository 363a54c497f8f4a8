"""What the tests of kept layers share: a flavour of four steps, and looks into builds and the cache."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imagewright.building.tree.layerkeys import mapping_name
from imagewright.events import Notice, StepFinished
from imagewright.sandbox.mapping import mapping_of_caller
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

SH = "#!/bin/sh\nset -eu\n"

STEPS = {
    "install.d/10-one": SH + "mkdir -p /srv/box/inner\necho one >/srv/one\necho x >/srv/box/inner/file\n",
    "install.d/20-two": SH + "echo two >/srv/two\n",
    "install.d/30-three": SH + 'cat "$(dirname "$0")/word" >/srv/three\n',
    "install.d/word": "first",
    "finalise.d/40-four": SH + 'echo "$IMAGE_ROOT_UUID" >/srv/four\n',
}


def ran(built: Built) -> list[str]:
    """The steps of the tree that ran, in order."""
    return [
        f"{event.phase}/{event.step}"
        for event in built.events
        if isinstance(event, StepFinished) and event.status == "done" and event.phase not in ("artefacts", "disk")
    ]


def notices(built: Built) -> str:
    return "\n".join(event.message for event in built.events if isinstance(event, Notice))


def store(kit: ImageKit) -> Path:
    return kit.cache / "layers" / mapping_name(mapping_of_caller())


def layers(kit: ImageKit) -> dict[str, Path]:
    """The kept layers by their step."""
    return {json.loads(path.read_text())["step"]: path.parent for path in store(kit).glob("*/layer.json")}


def age_answers(kit: ImageKit, hours: float) -> None:
    for path in (store(kit) / "answers").iterdir():
        document = json.loads(path.read_text())
        document["asked"] -= hours * 3600
        path.write_text(json.dumps(document))


def listed(built: Built) -> list[tuple[object, ...]]:
    """Everything that the tar archive says of the tree."""
    with tarfile.open(built.path("tar")) as archive:
        return [
            (
                member.name,
                member.type,
                member.mode,
                member.uid,
                member.gid,
                member.size,
                member.mtime,
                member.linkname,
                tuple(sorted((name, value) for name, value in member.pax_headers.items() if "xattr" in name)),
                stream.read() if (stream := archive.extractfile(member)) and member.isreg() else b"",
            )
            for member in archive
        ]


def forget_images(kit: ImageKit) -> None:
    """Have the next build look at its layers, although it would write the same files."""
    shutil.rmtree(kit.cache / "images")


def damaged(kit: ImageKit, step: str, damage: Callable[[Path], None]) -> None:
    forget_images(kit)
    damage(layers(kit)[step] / "tree")


BUILDER = """
import pickle
import sys
from pathlib import Path
from imagewright.building.images.build import build
from imagewright.testing.built import RecordingMonitor

request = pickle.loads(Path(sys.argv[1]).read_bytes())
monitor = RecordingMonitor(Path(sys.argv[2]))
build(request, monitor, log=Path(sys.argv[2]))
"""


def begun(kit: ImageKit, name: str, *flavours: str) -> subprocess.Popen[bytes]:
    """A build in a process of its own."""
    request = replace(kit.request(*flavours), output=kit.output / name)
    script, asked = kit.folder / "builder.py", kit.folder / f"{name}.request"
    script.write_text(BUILDER)
    asked.write_bytes(pickle.dumps(request))
    return subprocess.Popen(
        [sys.executable, str(script), str(asked), str(kit.folder / f"{name}.log")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def prospects(kit: ImageKit, *flavours: str, **options: object) -> dict[str, str]:
    """What ``--plan`` says of each step of the tree."""
    from imagewright.building.tree.forecast import forecast

    request = kit.request(*flavours, **options)
    found = forecast(request, kit.prepare(*flavours, **options))
    return {name: " ".join((one.status, one.on, one.why)).strip() for name, one in found.items()}


def artefacts_cached(built: Built) -> bool:
    return any(
        isinstance(event, StepFinished) and event.phase == "artefacts" and event.status == "cached"
        for event in built.events
    )
