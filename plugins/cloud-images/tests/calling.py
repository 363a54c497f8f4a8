"""Calling the fetching step as a build does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from imagewright.api import CallContext
from imagewright.errors import ImagewrightError, StepFailed
from imagewright_cloud_images.fetching import fetch
from imagewright_cloud_images.releases import names_of

from .conftest import FOLDER, NAME, RELEASE, Cloud, Handler

IMAGE = f"{FOLDER}/{NAME}"


@dataclass(kw_only=True)
class Caller:
    """Calls the step as a build does."""

    cache: Path
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def fetch(self, cloud: Cloud, *, offline: bool = False, **changes: str) -> Mapping[str, str]:
        arguments = {
            "folder": cloud.folder,
            "names": " ".join(names_of(RELEASE, "amd64")),
            "keyring": str(cloud.key.keyring),
            "digest": "",
            "file": "",
            "certificate": "",
        }
        context = CallContext(
            target_root=None,
            environment=self.environment,
            cache=self.cache,
            report=self.lines.append,
            offline=offline,
        )
        return fetch(context, **{**arguments, **changes})

    def kept(self) -> list[str]:
        """The digests of the images in the cache."""
        folder = self.cache / "images"
        return sorted(path.name for path in folder.iterdir() if path.suffix != ".seal") if folder.exists() else []

    def content(self, found: Mapping[str, str]) -> bytes:
        return (self.cache / "images" / found["base image"].removeprefix("sha256:")).read_bytes()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)


def refused(caller: Caller, cloud: Cloud, match: str, kind: type[ImagewrightError] = StepFailed, **changes: str) -> str:
    """The error's text; nothing may be kept."""
    with pytest.raises(kind, match=match) as caught:
        caller.fetch(cloud, **changes)
    assert caller.kept() == []
    assert not list((caller.cache / "notes").glob("*"))
    return str(caught.value)


def first(times: int, path: str, answer: Callable[[Handler], object]) -> Callable[[Handler], bool]:
    """An action that answers the first so many questions for a path."""
    left = [times]

    def act(handler: Handler) -> bool:
        if handler.path != path or not left[0]:
            return False
        left[0] -= 1
        answer(handler)
        return True

    return act
