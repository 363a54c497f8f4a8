"""The key under which the layer of a step is kept: the plan's key with what only the world and this machine know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from imagewright.plan import Plan, PlannedStep, digest_of
from imagewright.planning.keys import SECRETS, secrets_digest
from imagewright.planning.prepared import Prepared
from imagewright.sandbox.mapping import Mapping as Ids
from imagewright.types import Place

FORMAT = 2
"""Raised when layers of old must not be used any more."""

NOT_IN_LAYERS = frozenset(
    f"imagewright.building/{name}"
    for name in (
        "artefacts",
        "cache.py",
        "host/checks.py",
        "host/workfolder.py",
        "images",
        "packages/locked.py",
        "ramdisks",
        "sidebyside.py",
        "state.py",
        "steps/entering.py",
        "steps/hostcall.py",
        "steps/hostside.py",
        "steps/hostviews.py",
        "steps/onhost.py",
        "tree/forecast.py",
        "tree/keeping.py",
        "tree/slate.py",
        "tree/visiting.py",
    )
)
"""Rooms and modules that have no part in what a step leaves: a change of theirs makes no layer anew."""


def mapping_name(ids: Ids) -> str:
    """A folder's name for a mapping of ids: a layer's files have its owners."""
    return digest_of(ids.uids, ids.gids)[:16]


class LayerKeys:
    """The keys of one build's layers. ``salt`` is the machine's, for what secrets count."""

    def __init__(self, prepared: Prepared, salt: bytes) -> None:
        self._plan = prepared.plan
        self._salt = salt
        # without the caller's proxies: they change how a package is fetched, not what it is
        self._tools = prepared.package_manager.build_files({}).digest
        # a changed core must not find layers of the old
        self._code = core_digest("imagewright.building", "imagewright.sandbox", without=NOT_IN_LAYERS)

    def layer(self, planned: PlannedStep, facts: Mapping[str, str], epoch: int) -> str | None:
        """The key of what ``planned`` makes: 64 hex digits; None as long as a fact that it depends on is not known.

        Besides the facts it covers the date of the build so far, what the package manager lays for the build, and the
        code of the core that runs steps.
        """
        known = self._known(planned, facts)
        if known is None:
            return None
        return digest_of("layer", FORMAT, self._code, self._tools, planned.key, known, epoch)

    def apart(self, planned: PlannedStep, facts: Mapping[str, str], epoch: int, kernel: str) -> str | None:
        """The digest of all that the layer depends on besides the tree below it, for steps that are kept by reads.

        None as long as a fact is not known. ``kernel`` is the one of the tree below, which steps are told.
        """
        known = self._known(planned, facts)
        if known is None:
            return None
        own = (planned.phase.value, planned.step.id, planned.inputs, kernel)
        return digest_of("apart", FORMAT, self._code, self._tools, own, known, epoch)

    def _known(self, planned: PlannedStep, facts: Mapping[str, str]) -> dict[str, str] | None:
        known: dict[str, str] = {}
        for name in planned.facts:
            if name == SECRETS:
                known[name] = _secrets_until(self._plan, planned, self._salt)
            elif name in facts:
                known[name] = facts[name]
            else:
                return None
        return known

    def question(self, planned: PlannedStep, before: str) -> str:
        """The name under which the answer to a step's question is kept; ``before`` identifies the layer below."""
        return digest_of("question", FORMAT, self._tools, planned.key, before)


def _secrets_until(plan: Plan, planned: PlannedStep, salt: bytes) -> str:
    """The digest of the secrets that this step and those before it may have seen, so that no later flavour's counts."""
    names = set()
    for step in plan.steps:
        # what a step on the host made of a secret is in the data that it left
        if step.phase.place is not Place.HOST:
            names.add(step.origin.flavour)
        if step is planned:
            break
    return secrets_digest([flavour for flavour in plan.flavours if flavour.name in names], salt)


@cache
def core_digest(*packages: str, without: frozenset[str] = frozenset()) -> str:
    """The digest of the files of some packages of the core, but for files and folders named ``PACKAGE/PATH``."""
    digest = hashlib.sha256()
    for package in packages:
        _add(digest, resources.files(package), package, without)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, folder: Traversable, name: str, without: frozenset[str]) -> None:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{name}/{entry.name}"
        if path in without:
            continue
        if entry.is_dir():
            if entry.name != "__pycache__":
                _add(digest, entry, path, without)
        else:
            digest.update(f"{path}\0".encode())
            digest.update(hashlib.sha256(entry.read_bytes()).digest())
