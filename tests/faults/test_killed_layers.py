"""Builders killed at fifty random moments: what the cache holds then is right, and is used."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from imagewright.testing.kit import ImageKit
from imagewright.testing.reliability import Recorder

from .harness import Builders, Ended

KILLS = 50

TOML = (
    'summary = "some of everything that a layer can hold"\n[parameters.turn]\n'
    'help = "makes the steps run again, and the image no other"\ndefault = "0"\n'
)

STEPS = {
    "first": """
        mkdir -p /srv/first/deep
        seq 1 2000 >/srv/first/long
        ln /srv/first/long /srv/first/same
    """,
    "second": """
        rm -r /srv/first/deep
        ln -s ../first/long /srv/link
        chmod 4711 /srv/first/same
        chown 1000:1000 /srv/first
    """,
    "third": """
        rm /srv/link
        mkdir -p /srv/link/now/a/folder
        for n in $(seq 1 60); do echo $n >/srv/link/$n; done
    """,
    "fourth": """
        mv /srv/link/now /srv/moved
        rm -r /srv/link
        mkdir /srv/link
        echo end >/srv/link/end
    """,
}


@dataclass
class Pile:
    """An image of many layers, built by builders that are forked."""

    kit: ImageKit
    builders: Builders

    def order(self, turns: tuple[int, ...], *arguments: str, **fault: Any) -> dict[str, Any]:
        said = self.kit.folder / "said"
        said.mkdir(exist_ok=True)
        argv = ["disk-image-create", "-t", "tar", "-o", str(self.kit.output / "it"), "--skip-base"]
        argv += ["--progress", "plain", *arguments]
        for name, turn in zip(STEPS, turns, strict=True):
            argv += ["--set", f"{name}.turn={turn}"]
        return {
            "argv": [*argv, "toy", *STEPS],
            "environment": self.kit.environment(LC_ALL="C.UTF-8"),
            "folder": str(self.kit.folder),
            "stdout": str(said / "stdout"),
            "stderr": str(said / "stderr"),
            **fault,
        }

    def run(self, turns: tuple[int, ...], *arguments: str, after: float | None = None, **fault: Any) -> Ended:
        """Run a builder to its end, or kill it after so many seconds."""
        order = self.order(turns, *arguments, **fault)
        for name in ("stdout", "stderr"):
            Path(order[name]).write_text("")
        pid = self.builders.start(**order)
        status = None if after is None else self.builders.ended(pid, after)
        if status is None:
            if after is not None:
                self.builders.kill(pid, signal.SIGKILL)
            status = self.builders.wait(pid)
        texts = [Path(order[name]).read_text(errors="replace") for name in ("stdout", "stderr")]
        return Ended(status=status, stdout=texts[0], stderr=texts[1])

    def built(self, turns: tuple[int, ...], *arguments: str) -> tuple[str, str]:
        """Build; the digest of the image but for its version, which names the plan, and what was said."""
        done = self.run(turns, *arguments)
        assert done.status == 0, done.stderr
        version = json.loads((self.kit.output / "it.manifest.json").read_text())["image"]["version"].encode()
        image = (self.kit.output / "it.tar").read_bytes()
        assert image.count(version) >= 1
        return hashlib.sha256(image.replace(version, b"0" * len(version))).hexdigest(), done.stderr


@pytest.fixture
def pile(image_kit: ImageKit) -> Iterator[Pile]:
    for number, (name, script) in enumerate(STEPS.items(), start=1):
        image_kit.flavour(name, {"flavour.toml": TOML, f"install.d/{number}0-{name}": f"#!/bin/sh\nset -eu\n{script}"})
    builders = Builders(image_kit.folder)
    yield Pile(kit=image_kit, builders=builders)
    builders.close()


@pytest.mark.timeout(1200)
def test_builders_killed_at_fifty_random_moments_leave_layers_that_make_the_very_image(
    pile: Pile, reliability: Recorder
) -> None:
    chance = random.Random("fifty kills")
    begun = time.monotonic()
    clean, _said = pile.built((0, 0, 0, 0), "--no-cache")
    long = time.monotonic() - begun
    counts = pile.kit.folder / "counts.json"
    assert pile.run((0, 0, 0, 0), counts=str(counts)).status == 0
    calls = json.loads(counts.read_text())["call"]
    turns, killed, tries = [0, 0, 0, 0], 0, 0
    while killed < KILLS:
        tries += 1
        assert tries < 4 * KILLS, f"{killed} of {tries} builders were killed"
        # from a flavour on, all layers are new ones
        turns[chance.randrange(len(turns))] = tries
        at_call = {"signal": signal.SIGKILL, "at": "call", "number": chance.randint(1, calls)}
        fault: dict[str, Any] = chance.choice([at_call, {"after": chance.uniform(0, long / 2)}])
        done = pile.run(tuple(turns), **fault)
        assert done.status in (0, -signal.SIGKILL), done.stderr
        if done.status == 0:
            continue
        killed += 1
        with reliability.trying("faults", "builders killed while layers are made"):
            assert pile.builders.left() == []
            if killed % 5:
                continue  # what the next one finds was left by all of them
            image, said = pile.built(tuple(turns))
            assert image == clean, f"after kill {killed} the image is another one"
            assert "damaged" not in said
        if killed % 10 == 0:
            shutil.rmtree(pile.kit.cache / "images")
            image, said = pile.built(tuple(turns))
            assert image == clean
            steps = re.findall(r"\] ((?:root|packages|install|cleanup)/\S+) (done|cached) after", said)
            assert len(steps) > len(STEPS)
            assert {status for _step, status in steps} == {"cached"}, said
    # every content of every layer, not only what a build looks at
    done = pile.kit.command("imagewright", "cache", "verify")
    assert done.returncode == 0
    assert not list(pile.kit.work.iterdir())
