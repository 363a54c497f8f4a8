"""Whether a build fits its lock. Every difference is told, and none is passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imagewright.errors import PlanError
from imagewright.lockfile.lock import Lock, name_of
from imagewright.types import Package

_MOST = 20
"""Differences that an error shows."""


def check_plan(lock: Lock, here: Lock, path: Path) -> None:
    """Compare what is known before the work: ``here`` has neither packages nor bases. Raises PlanError."""
    differences = []
    for what, locked, found in (
        ("imagewright", lock.imagewright, here.imagewright),
        ("the operating system", lock.operating_system, here.operating_system),
        ("the release", lock.release, here.release),
        ("the architecture", lock.arch, here.arch),
    ):
        if locked != found:
            differences.append(f"{what}: {locked or 'none'} is locked, {found or 'none'} is here")
    differences += _of_values("flavour ", lock.flavours, here.flavours)
    _refuse(differences, path, "put back what it names, or have it written anew with --refresh")


def check_base(lock: Lock, name: str, value: str, path: Path) -> None:
    """Compare what the world answered, if the lock says what it was. Raises PlanError."""
    if name in lock.bases and lock.bases[name] != value:
        _refuse(list(_of_values("", {name: lock.bases[name]}, {name: value})), path, _RENEW)


def check_resolution(lock: Lock, found: Sequence[Package], path: Path) -> None:
    """Compare what a transaction would bring, which is a part of what is locked. Raises PlanError."""
    locked = {name_of(one): one for one in lock.packages}
    differences = []
    for one in found:
        known = locked.get(name_of(one))
        if known is None:
            differences.append(f"package {name_of(one)}: {one.version} would come, and the lock has none")
        elif known.version != one.version:
            differences.append(f"package {name_of(one)}: {known.version} is locked, {one.version} is all that there is")
        elif known.digest and one.digest and known.digest != one.digest:
            differences.append(f"package {name_of(one)} {one.version}: its archive is another one of the same version")
    _refuse(differences, path, _RENEW)


def check_installed(lock: Lock, found: Sequence[Package], path: Path) -> None:
    """Compare the packages of the finished tree. Raises PlanError."""
    versions = [{name_of(one): one.version for one in side} for side in (lock.packages, found)]
    _refuse(list(_of_values("package ", *versions)), path, _RENEW)


_RENEW = "--mirror names one that has them still, such as a snapshot; --refresh takes what there is and renews the lock"


def _of_values(what: str, locked: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*locked, *found}):
        if locked.get(name) != found.get(name):
            yield f"{what}{name}: {locked.get(name) or 'none'} is locked, {found.get(name) or 'none'} is here"


def _refuse(differences: list[str], path: Path, hint: str) -> None:
    if not differences:
        return
    shown = differences[:_MOST]
    if len(differences) > len(shown):
        shown.append(f"and {len(differences) - len(shown)} more")
    count = len(differences)
    raise PlanError(
        "lock-does-not-fit",
        f"the build is not the one that {path} locks: {count} {'thing differs' if count == 1 else 'things differ'}",
        where=tuple(shown),
        hint=hint,
        option="lock",
    )
