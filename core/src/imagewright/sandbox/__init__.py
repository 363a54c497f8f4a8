"""Running programs without root: one user namespace per build, mount and PID namespaces per job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagewright.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> object:
    # the launcher, which is in this package too, starts without what only the builder needs
    if name == "Sandbox":
        from imagewright.sandbox.sandbox import Sandbox

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
