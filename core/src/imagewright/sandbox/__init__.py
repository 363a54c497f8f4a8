"""Running programs without root: one user namespace per build, mount and PID namespaces per job."""

from __future__ import annotations

from imagewright.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
