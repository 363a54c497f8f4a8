"""The promise to flavour packs: which versions of the contract still work, and what will be removed from it.

A pack says by ``api_version`` for which contract it was written. Contracts from :data:`OLDEST_API_VERSION` to
:data:`imagewright.types.API_VERSION` work. One that is older than the present one works and is named in a warning, with
its pack, so that its maintainer hears of it before its users do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType

from imagewright.flavour import Flavour
from imagewright.metadata import broken
from imagewright.types import API_VERSION, Origin

OLDEST_API_VERSION = 1
"""The oldest contract that still works."""

DEPRECATED: Mapping[str, str] = MappingProxyType({})
"""Hooks and attributes of a flavour's class that the next contract will not have, with what takes their place."""


class ContractDeprecation(FutureWarning):
    """What a pack uses works now and will not for ever. Shown to users, and an error in tests that say so."""


def check_contract(
    flavour: type[Flavour],
    origin: Origin,
    *,
    oldest: int = OLDEST_API_VERSION,
    newest: int = API_VERSION,
    deprecated: Mapping[str, str] | None = None,
) -> None:
    """Raise ContractError for a contract that does not work here; warn of what is about to go, naming the pack.

    ``deprecated`` is :data:`DEPRECATED` if it is not given.
    """
    version: object = flavour.api_version
    if not isinstance(version, int) or not oldest <= version <= newest:
        supported = f"this is version {newest}" if oldest == newest else f"versions {oldest} to {newest} work here"
        newer = not isinstance(version, int) or version > newest
        raise broken(
            origin,
            "wrong-api-version",
            f"flavour `{origin.flavour}` is written for version {version} of the contract, and {supported}",
            hint=f"pip install --upgrade {origin.distribution or origin.flavour}" + (" imagewright" if newer else ""),
        )
    if version < newest:
        _warn(origin, f"is written for version {version} of the contract, and the present one is {newest}")
    # the specifications themselves, and directory flavours, have every hook
    own = [one for one in flavour.__mro__ if not one.__module__.startswith("imagewright.")]
    going = DEPRECATED if deprecated is None else deprecated
    for name in sorted(going):
        if any(name in vars(one) for one in own):
            _warn(origin, f"uses `{name}`, which version {newest + 1} of the contract will not have: {going[name]}")


def _warn(origin: Origin, what: str) -> None:
    pack = f"{origin.distribution} {origin.version}".rstrip() or origin.location
    warnings.warn(f"flavour `{origin.flavour}` of {pack} {what}", ContractDeprecation, stacklevel=4)
