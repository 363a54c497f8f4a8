"""Reads ``flavour.toml``, the optional metadata of a directory flavour.

Format: TOML 1.0. Top-level keys: ``summary`` (string); ``requires``, ``conflicts``, ``provides``, ``packages``,
``reads``, ``allows`` (lists of strings); ``[parameters.NAME]`` with ``type``, ``default``, ``help``, ``required``,
``secret``;
``[edges.PHASE.STEP]`` with ``before`` and ``after`` (lists of step ids of the same phase);
``[steps.PHASE.STEP]`` with ``keep`` (``while-read-unchanged``, as :attr:`imagewright.types.Step.keep`);
``[repositories.NAME]`` with ``address``, ``suite``, ``components``, ``keys`` (files of the folder) and ``login`` (the
name of a secret parameter).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

from imagewright.documents import parse_toml
from imagewright.errors import ContractError
from imagewright.metadata import Metadata, broken, check_allows, check_parameters
from imagewright.scripts import read
from imagewright.types import KEPT_BY_READS, Origin, Parameter, Phase, Plain, Repository

LISTS = ("requires", "conflicts", "provides", "packages", "reads", "allows")
KEYS = ("summary", *LISTS, "parameters", "edges", "steps", "repositories")
REPOSITORY_KEYS = ("address", "suite", "components", "keys", "login")
PARAMETER_KEYS = ("type", "default", "help", "required", "secret")
KEEP: Final = "while-read-unchanged"
PARAMETER_TYPES = ("string", "integer", "boolean", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """What a step must come before and after, as ids of its phase."""

    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRepository:
    """A repository whose login is the value of the parameter ``login``, if it has one."""

    repository: Repository
    login: str = ""

    def with_login(self, parameters: Mapping[str, Plain]) -> Repository:
        """The repository with the value of its parameter; without a login if that has none."""
        login = parameters.get(self.login)
        return replace(self.repository, login=login) if isinstance(login, str) else self.repository


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavourToml:
    """The content of the file; ``edges`` is keyed by phase and step id, ``kept`` has those steps with a ``keep``."""

    metadata: Metadata = field(default_factory=Metadata)
    edges: Mapping[tuple[Phase, str], Edges] = field(default_factory=dict)
    kept: frozenset[tuple[Phase, str]] = frozenset()
    repositories: tuple[NamedRepository, ...] = ()


def read_flavour_toml(path: Path, origin: Origin) -> FlavourToml:
    """Read the file, or nothing if there is none.

    Raises ContractError for what is no TOML, an unknown key (with the nearest) and a value of the wrong type.
    """
    if not path.exists():
        return FlavourToml()
    return _Reader(path, origin).flavour()


class _Reader:
    """Reads one file; knows whom to blame."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path = path
        self._origin = origin

    def flavour(self) -> FlavourToml:
        try:
            document = parse_toml(read(self._path, self._origin))
        except ValueError as error:
            raise self._fail("bad-flavour-toml", "is not TOML", cause=str(error)) from error
        self._known(document, KEYS, "")
        parameters = tuple(
            self._parameter(name, self._table(value, f"parameters.{name}"))
            for name, value in self._table(document.get("parameters", {}), "parameters").items()
        )
        check_parameters(parameters, self._origin)
        metadata = Metadata(
            summary=self._string(document, "summary", "summary"),
            requires=self._strings(document, "requires", "requires"),
            conflicts=self._strings(document, "conflicts", "conflicts"),
            provides=self._strings(document, "provides", "provides"),
            packages=self._strings(document, "packages", "packages"),
            parameters=parameters,
            reads=self._strings(document, "reads", "reads"),
            allows=self._strings(document, "allows", "allows"),
        )
        check_allows(metadata.allows, self._origin)
        tables = self._table(document.get("repositories", {}), "repositories")
        return FlavourToml(
            metadata=metadata,
            edges=self._edges(self._table(document.get("edges", {}), "edges")),
            kept=frozenset(self._kept(self._table(document.get("steps", {}), "steps"))),
            repositories=tuple(
                self._repository(self._table(value, f"repositories.{name}"), f"repositories.{name}", parameters)
                for name, value in tables.items()
            ),
        )

    def _repository(self, table: Mapping[str, Any], at: str, parameters: Sequence[Parameter]) -> NamedRepository:
        self._known(table, REPOSITORY_KEYS, at)
        login = self._string(table, "login", f"{at}.login")
        if login and not any(one.name == login and one.secret for one in parameters):
            raise self._wrong(f"{at}.login", "the name of a secret parameter of this flavour", login)
        keys = [self._path.parent / name for name in self._strings(table, "keys", f"{at}.keys")]
        repository = Repository(
            address=self._string(table, "address", f"{at}.address"),
            suite=self._string(table, "suite", f"{at}.suite"),
            components=self._strings(table, "components", f"{at}.components"),
            keys=tuple(read(path, self._origin) for path in keys),
        )
        return NamedRepository(repository=repository, login=login)

    def _parameter(self, name: str, table: Mapping[str, Any]) -> Parameter:
        at = f"parameters.{name}"
        self._known(table, PARAMETER_KEYS, at)
        kind = table.get("type", "string")
        if kind not in PARAMETER_TYPES:
            raise self._wrong(f"{at}.type", f"one of {', '.join(PARAMETER_TYPES)}", kind)
        default = table.get("default")
        if default is not None and not isinstance(default, str | int | bool):
            raise self._wrong(f"{at}.default", "a string, an integer or a boolean", default)
        return Parameter(
            name=name,
            type=cast("Any", kind),
            default=default,
            help=self._string(table, "help", f"{at}.help"),
            required=self._boolean(table, "required", f"{at}.required"),
            secret=self._boolean(table, "secret", f"{at}.secret"),
        )

    def _edges(self, table: Mapping[str, Any]) -> dict[tuple[Phase, str], Edges]:
        edges: dict[tuple[Phase, str], Edges] = {}
        self._known(table, [phase.value for phase in Phase], "edges")
        for phase, steps in table.items():
            for step, value in self._table(steps, f"edges.{phase}").items():
                at = f"edges.{phase}.{step}"
                inner = self._table(value, at)
                self._known(inner, ("before", "after"), at)
                edges[Phase(phase), step] = Edges(
                    before=frozenset(self._strings(inner, "before", f"{at}.before")),
                    after=frozenset(self._strings(inner, "after", f"{at}.after")),
                )
        return edges

    def _kept(self, table: Mapping[str, Any]) -> Iterator[tuple[Phase, str]]:
        self._known(table, [phase.value for phase in KEPT_BY_READS], "steps")
        for phase, steps in table.items():
            for step, value in self._table(steps, f"steps.{phase}").items():
                at = f"steps.{phase}.{step}"
                inner = self._table(value, at)
                self._known(inner, ("keep",), at)
                keep = self._string(inner, "keep", f"{at}.keep")
                if keep not in ("", KEEP):
                    raise self._wrong(f"{at}.keep", f"`{KEEP}`", keep)
                if keep:
                    yield Phase(phase), step

    def _known(self, table: Mapping[str, Any], keys: Collection[str], at: str) -> None:
        for key in table:
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                place = f"{at}.{key}" if at else key
                hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(keys)}"
                raise self._fail("unknown-key", f"has an unknown key `{place}`", hint=hint)

    def _table(self, value: object, at: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(at, "a table", value)
        return value

    def _string(self, table: Mapping[str, Any], key: str, at: str) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(at, "a string", value)
        return value

    def _boolean(self, table: Mapping[str, Any], key: str, at: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(at, "true or false", value)
        return value

    def _strings(self, table: Mapping[str, Any], key: str, at: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            raise self._wrong(at, "a list of non-empty strings", value)
        return tuple(value)

    def _wrong(self, at: str, wanted: str, value: object) -> ContractError:
        return self._fail("bad-value", f"has a wrong value: `{at}` must be {wanted}", cause=f"it is {value!r}")

    def _fail(self, reference: str, message: str, *, cause: str = "", hint: str = "") -> ContractError:
        what = f"`flavour.toml` of flavour `{self._origin.flavour}` {message}"
        return broken(self._origin, reference, what, cause=cause, hint=hint)
