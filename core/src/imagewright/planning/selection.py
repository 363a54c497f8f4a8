"""Which flavours are in a build, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from imagewright.discovery import Loaded, choose, load
from imagewright.entrypoints import Survey, survey
from imagewright.errors import PlanError
from imagewright.flavour import OPERATING_SYSTEM
from imagewright.request import Request

BASE = "base"

PRIVATE = "private"
"""What a flavour ``provides`` that makes an image unfit for publishing, as one that declares ``reads`` does too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen flavours in order; ``requirements`` holds for each all flavours it requires, directly or not."""

    flavours: tuple[Loaded, ...]
    requirements: dict[str, tuple[str, ...]]
    operating_system: Loaded | None


def select(request: Request, installed: Survey | None = None) -> Selection:
    """Choose the flavours: what was named, the operating system, base, and what they require.

    Operating system first, then base, then as named; a requirement comes before who requires it. ``installed`` is what
    :func:`imagewright.entrypoints.survey` found for the request, if it was asked already.
    Raises PlanError for an unknown flavour, none or two operating systems, a conflict and a cycle; ContractError for
    a flavour that does not load; UsageError for a wrong search path or override.
    """
    return _Selecting(request, installed or survey(request.flavour_path, request.overrides)).result()


class _Selecting:
    def __init__(self, request: Request, installed: Survey) -> None:
        self._request = request
        self._survey = installed
        self._loaded: dict[str, Loaded] = {}  # in the order in which they were added
        self._why: dict[str, str] = {}

    def result(self) -> Selection:
        request = self._request
        for name in request.flavours:
            self._add(name, "")
        if not request.ramdisk and not request.skip_base and self._survey.named(BASE):
            self._add(BASE, "")
        self._add_requirements()
        # a ramdisk needs none of its own; one that is named gives the tree that it is made from
        named = bool(self._providers(OPERATING_SYSTEM))
        system = self._operating_system() if named or not request.ramdisk else None
        edges = self._edges()
        self._check_conflicts()
        if request.for_publishing:
            self._check_private()
        order = self._ordered(edges, system)
        return Selection(
            flavours=tuple(self._loaded[name] for name in order),
            requirements={name: self._closure(name, edges, order) for name in order},
            operating_system=system,
        )

    def _add(self, name: str, wanted_by: str) -> None:
        if name not in self._loaded:
            found = choose(name, self._survey, wanted_by=wanted_by, flavour_path=self._request.flavour_path)
            self._loaded[name] = load(found)
            self._why[name] = wanted_by

    def _add_requirements(self) -> None:
        """Add every required flavour that no chosen one stands in for; what is left are capabilities."""
        waiting = True
        while waiting:
            waiting = False
            for loaded in tuple(self._loaded.values()):
                for name in loaded.metadata.requires:
                    if not self._providers(name) and self._survey.named(name):
                        self._add(name, loaded.name)
                        waiting = True

    def _providers(self, name: str) -> tuple[str, ...]:
        """Who fulfils a requirement: the flavour of that name, else all that provide it."""
        if name in self._loaded:
            return (name,)
        return tuple(one.name for one in self._loaded.values() if name in one.metadata.provides)

    def _operating_system(self) -> Loaded:
        if not self._providers(OPERATING_SYSTEM):
            default = self._request.default_operating_system
            if not self._survey.named(default):
                raise self._no_operating_system(default)
            self._add(default, "")
            self._add_requirements()
        systems = [one for one in self._loaded.values() if OPERATING_SYSTEM in one.metadata.provides]
        if not systems:
            raise PlanError(
                "no-operating-system",
                f"the default operating system `{self._request.default_operating_system}` is no operating system",
                cause=f"that flavour does not provide `{OPERATING_SYSTEM}`",
                hint="disk-image-create -o image OPERATING-SYSTEM FLAVOUR...",
                option="operating-system",
            )
        if len(systems) > 1:
            raise PlanError(
                "two-operating-systems",
                f"more than one operating system: {' and '.join(f'`{one.name}`' for one in systems)}",
                where=tuple(self._place(one.name) for one in systems),
                cause="an image has exactly one root tree",
                hint=f"leave out {' or '.join(f'`{one.name}`' for one in systems)}",
            )
        return systems[0]

    def _no_operating_system(self, default: str) -> PlanError:
        installed = "debian" if self._survey.named("debian") else "OPERATING-SYSTEM"
        named = " ".join(self._request.flavours)
        return PlanError(
            "no-operating-system",
            f"no operating system is named, and the default one, `{default}`, is not installed",
            cause=f"installed flavours: {', '.join(self._survey.names) or 'none'}",
            hint=f"name an installed one, such as `debian`: disk-image-create -o image {installed} {named}".rstrip(),
            option="operating-system",
        )

    def _edges(self) -> dict[str, tuple[str, ...]]:
        """For each flavour those that come before it. Raises PlanError for a requirement that nobody fulfils."""
        edges: dict[str, tuple[str, ...]] = {}
        for loaded in self._loaded.values():
            before: list[str] = []
            for name in loaded.metadata.requires:
                providers = self._providers(name)
                if not providers:
                    raise self._unfulfilled(name, loaded)
                before += [provider for provider in providers if provider != loaded.name or provider == name]
            edges[loaded.name] = tuple(dict.fromkeys(before))
        return edges

    def _unfulfilled(self, name: str, loaded: Loaded) -> PlanError:
        # a name that is merely alike would send the reader the wrong way, and nobody requires themselves
        others = [other for other in self._survey.names if other != loaded.name]
        near = get_close_matches(name, others, n=2, cutoff=0.8)
        where = [f"required by: {loaded.origin}"]
        return PlanError(
            "requirement-missing",
            f"flavour `{loaded.name}` requires `{name}`, which is no flavour, and no chosen flavour provides it",
            where=tuple(where) + self._survey.unreadable,
            hint=f"did its author mean {' or '.join(f'`{one}`' for one in near)}?"
            if near
            else f"name a flavour that provides `{name}`, or install one",
        )

    def _check_conflicts(self) -> None:
        for loaded in self._loaded.values():
            for other in self._loaded.values():
                if other is loaded:
                    continue
                for enemy in loaded.metadata.conflicts:
                    if enemy == other.name or enemy in other.metadata.provides:
                        through = "" if enemy == other.name else f", which provides `{enemy}`"
                        raise PlanError(
                            "flavours-conflict",
                            f"flavour `{loaded.name}` conflicts with `{other.name}`{through}",
                            where=(self._place(loaded.name), self._place(other.name)),
                            hint=f"leave out `{loaded.name}` or `{other.name}`",
                        )

    def _check_private(self) -> None:
        """An image for everybody holds nothing of its builder's."""
        for loaded in self._loaded.values():
            if loaded.metadata.reads or PRIVATE in loaded.metadata.provides:
                reads = ", ".join(loaded.metadata.reads)
                raise PlanError(
                    "private-flavour",
                    f"flavour `{loaded.name}` brings data of yours into the image, and `--for-publishing` refuses that",
                    where=(self._place(loaded.name),),
                    cause=f"it reads {reads}" if reads else "",
                    hint=f"leave out `{loaded.name}` or `--for-publishing`",
                    option="for-publishing",
                )

    def _place(self, name: str) -> str:
        why = self._why[name]
        return f"{self._loaded[name].origin}" + (f", required by {why}" if why else "")

    def _ordered(self, edges: dict[str, tuple[str, ...]], system: Loaded | None) -> tuple[str, ...]:
        try:
            tuple(TopologicalSorter(edges).static_order())
        except CycleError as error:
            path: list[str] = list(reversed(error.args[1]))
            raise PlanError(
                "requirement-cycle",
                f"flavours require each other in a circle: {' → '.join(path)}",
                where=tuple(self._place(name) for name in dict.fromkeys(path)),
                hint="one of them must stop requiring the next",
            ) from None
        wishes = [*([system.name] if system else []), *([BASE] if BASE in self._loaded else []), *self._loaded]
        order: dict[str, None] = {}
        for name in wishes:
            _visit(name, edges, order)
        return tuple(order)

    def _closure(self, name: str, edges: dict[str, tuple[str, ...]], order: Iterable[str]) -> tuple[str, ...]:
        reached: dict[str, None] = {}
        _visit(name, edges, reached)
        return tuple(one for one in order if one in reached and one != name)


def _visit(name: str, edges: dict[str, tuple[str, ...]], order: dict[str, None]) -> None:
    """Append what the flavour requires, then the flavour; the edges have no cycle."""
    if name not in order:
        for before in edges[name]:
            _visit(before, edges, order)
        order[name] = None
