"""The plan: the ordered list of steps as pure data, printable, hashable, serialisable."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field

from imagewright import __version__
from imagewright.types import Origin, Parameter, Phase, Plain, Step, Tree

CORE = Origin(flavour="imagewright", distribution="imagewright", version=__version__)
"""Who gives the steps that the core adds."""

_BEFORE_FINALISE = (Phase.ROOT, Phase.PRE_INSTALL, Phase.PACKAGES, Phase.INSTALL, Phase.POST_INSTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenFlavour:
    """A flavour of the build, in its place in the order, with its values."""

    origin: Origin
    summary: str = ""
    requires: tuple[str, ...] = ()  # all of them, those of those included
    provides: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    values: tuple[tuple[str, Plain], ...] = ()  # parameter name, value; secrets included, never printed
    reads: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()  # rules of the blank slate
    programs: tuple[str, ...] = ()  # of the host
    disk_space: int = 0  # bytes in the work folder
    hooks: Tree = field(default_factory=Tree)  # what it lays into the merged tree at /tmp/in_target.d

    @property
    def name(self) -> str:
        """The flavour's name."""
        return self.origin.flavour


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step in its place. ``key`` covers the key before it, its declaration, and everything its flavour gives it.

    ``facts`` names what only the world knows and the step depends on, such as ``package versions``. ``inputs`` are the
    digests that the key is made of, by name: what tells which of them changed.
    """

    phase: Phase
    step: Step
    origin: Origin
    key: str
    facts: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """``install/10-modules``."""
        return f"{self.phase}/{self.step.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a build will do. ``skipped`` and ``overridden`` are what the user switched off or replaced."""

    flavours: tuple[ChosenFlavour, ...]
    steps: tuple[PlannedStep, ...]
    operating_system: str
    package_manager: str
    packages: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    overridden: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        """The key of the whole plan: 64 hex digits."""
        keys = "\n".join(step.key for step in self.steps)
        return hashlib.sha256(f"{self.operating_system}\n{keys}".encode()).hexdigest()

    def seeded_uuid(self, purpose: str) -> str:
        """A UUID that depends on the plan and ``purpose`` alone."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.digest} {purpose}"))

    @property
    def root_uuid(self) -> str:
        """The UUID of the root filesystem: it depends on what the steps that see it are keyed by, and on no more."""
        key = next((step.key for step in reversed(self.steps) if step.phase in _BEFORE_FINALISE), "")
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.operating_system} {key} root filesystem"))

    def of(self, phase: Phase) -> tuple[PlannedStep, ...]:
        """The steps of one phase, in order."""
        return tuple(step for step in self.steps if step.phase is phase)

    def flavour(self, name: str) -> ChosenFlavour | None:
        """The chosen flavour of that name."""
        return next((flavour for flavour in self.flavours if flavour.name == name), None)


_PLAIN = json.JSONEncoder(sort_keys=True, default=str, separators=(",", ":"))


def digest_of(*parts: object) -> str:
    """The SHA-256 hex digest of plain values, independent of their order of insertion."""
    return hashlib.sha256(_PLAIN.encode(parts).encode()).hexdigest()
