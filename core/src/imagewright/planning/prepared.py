"""What planning hands to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagewright.drivers import PackageManager
from imagewright.lockfile.lock import Lock
from imagewright.plan import Plan
from imagewright.planning.parameters import Secret
from imagewright.planning.repositories import GivenRepository
from imagewright.types import BuildContext, Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan with the objects that carry it out.

    ``context`` has no parameters; ``environment`` is what every script gets (:func:`environment_for` adds the rest).
    An operating system without a package manager has one called ``none``, and its plan has no steps in ``packages``.
    ``wanted`` says for each package who asked for it (``-p`` for the user). ``import_path`` holds the folders of a
    search path that must be importable for the plan's calls. ``lock`` is the lock that the build obeys; ``locked_now``,
    if the request names a lock file, is as much of this build's own lock as is known before the work.
    """

    plan: Plan
    context: BuildContext
    package_manager: PackageManager
    environment: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, Plain]]
    wanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    import_path: tuple[Path, ...] = ()
    repositories: tuple[GivenRepository, ...] = ()
    lock: Lock | None = None
    locked_now: Lock | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that may not appear in logs and manifests, longest first."""
        found = {
            str.__str__(value)
            for values in self.parameters.values()
            for value in values.values()
            if isinstance(value, Secret) and value
        }
        found |= {text for given in self.repositories for text in given.secrets()}
        return tuple(sorted(found, key=lambda value: (-len(value), value)))
