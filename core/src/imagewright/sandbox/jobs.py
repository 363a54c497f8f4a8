"""What the sandbox is asked to run, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TARGET = "/run/imagewright/target"
"""Where a job that stays outside finds the root tree (its TARGET_ROOT)."""

WORK = "/run/imagewright/work"
"""Where a job that stays outside finds the build's work folder, whoever may enter the folders above it."""

CLOSED = "private"
"""The folder of the work folder that no program outside the tree finds anything in: it holds logins."""

KEPT = "/run/imagewright/kept"
"""Where the layers lie that outlive the build, read only, if the sandbox was opened with a folder of them."""


def kept(key: str) -> str:
    """The name of a kept layer in a :class:`Stack`: the folder ``tree`` in the one called ``key``."""
    return f"kept/{key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Layers seen as one directory. Names are those of folders in the work folder's ``layers``, or from :func:`kept`.

    ``lower`` is read only, topmost first. ``upper`` takes what is written; None: nothing may be written.
    """

    lower: tuple[str, ...]
    upper: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or folder of the host that the job sees at ``target`` (absolute, in the job's view)."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program, run as mapped root in namespaces of its own, with no standard input unless ``stdin`` says so.

    ``inside``: the stack is the root of the job's view, with own ``/proc``, read-only ``/sys``, private ``/dev``, and
    empty ``/tmp``, ``/run`` and ``/var/tmp``. Otherwise the job sees the host's files (as a stranger does), the stack
    at :data:`TARGET` and the work folder at :data:`WORK`.

    ``record`` names a file of the work folder that says afterwards what the job opened in its tree
    (:meth:`imagewright.sandbox.launcher.watching.Watch.write`); such a job makes no mounts, since it would
    not be seen behind them.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stack: Stack | None = None
    inside: bool = False
    binds: tuple[Bind, ...] = ()
    network: bool = True
    stdin: Path | None = None
    directory: str = "/"
    record: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonJob:
    """A Python function ``module:function``, called as mapped root outside the target with JSON arguments.

    ``arguments`` is passed as keywords; the function's result must be JSON too. Its module is imported before the
    namespace is made, so that the code may lie where only the caller can read.
    """

    function: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    stack: Stack | None = None
    binds: tuple[Bind, ...] = ()
    network: bool = True
