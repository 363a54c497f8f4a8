"""What a build gives back, whatever it built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """The files that were written, an image's artefacts or a ramdisk and its kernel first; the manifest; seconds."""

    paths: tuple[Path, ...]
    manifest: Mapping[str, Any]
    seconds: float
