"""Running a plan: the only part that touches the machine, through one sandbox."""

from __future__ import annotations

from imagewright.building.build import BuildResult, build

__all__ = ["BuildResult", "build"]
