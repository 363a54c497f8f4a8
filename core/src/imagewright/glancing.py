"""What can be said of a flavour without running its code: for lists, where nobody has named it yet.

A directory flavour is read. Of a Python flavour the source is parsed: the class that the entry point names, its bases
within the same distribution, their literal metadata and their marked hooks. What only running could tell is left out,
and then the glance is not ``complete``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from imagewright.entrypoints import Found
from imagewright.flavour import OPERATING_SYSTEM
from imagewright.folders import FlavourFolder, read_flavour_folder
from imagewright.hookspecs import HOOKS
from imagewright.metadata import broken
from imagewright.types import API_VERSION, Phase

PHASES = (*(phase.hook for phase in Phase), "binary_deps", "init", "udev", "modules", "files")
DEPTH = 8
"""Imports and base classes that are followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a list shows. ``phases`` are those with a hook or a folder, in order.

    ``api_version`` is the version of the contract that the class names, None if it names none.
    """

    summary: str = ""
    operating_system: bool = False
    phases: tuple[str, ...] = ()
    complete: bool = True
    api_version: int | None = None


@dataclass(slots=True)
class _Gathered:
    summary: str = ""
    provides: set[str] = field(default_factory=set)
    hooks: set[str] = field(default_factory=set)
    folder: Path | None = None
    complete: bool = True
    api_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    name: str
    path: Path
    body: list[ast.stmt]

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def glance(found: Found) -> Glance:
    """Look at a flavour. Raises ContractError if a folder of it is broken or its module is missing or no Python."""
    gathered = _Gathered()
    if found.folder is not None:
        gathered.folder = found.folder
    elif found.entry_point is not None:
        _Looking(found).at_class(found.entry_point.module, found.entry_point.attr, gathered, DEPTH)
    if gathered.folder is not None:
        _add_folder(read_flavour_folder(gathered.folder, found.origin), gathered)
    return Glance(
        summary=gathered.summary,
        operating_system=OPERATING_SYSTEM in gathered.provides,
        phases=tuple(hook.replace("_", "-") for hook in PHASES if hook in gathered.hooks),
        complete=gathered.complete,
        api_version=gathered.api_version,
    )


def _add_folder(contents: FlavourFolder, gathered: _Gathered) -> None:
    metadata = contents.toml.metadata
    gathered.summary = gathered.summary or metadata.summary
    gathered.provides |= set(metadata.provides)
    gathered.hooks |= {phase.hook for phase, folder in contents.phases.items() if folder.scripts}
    present = {
        "packages": metadata.packages,
        "install": contents.static,
        "binary_deps": contents.binary_deps,
        "init": contents.init,
        "udev": contents.udev,
        "modules": contents.modules,
        "files": contents.files,
    }
    gathered.hooks |= {hook for hook, content in present.items() if content}


class _Looking:
    """Finds and parses modules of one distribution."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._modules: dict[str, _Module] = {}

    def at_class(self, module_name: str, name: str, gathered: _Gathered, depth: int) -> None:
        """Gather what the class says, then its bases; what the class says itself goes first."""
        module = self._module(module_name)
        if module is None or depth == 0:
            gathered.complete = False
            return
        for statement in module.body:
            if isinstance(statement, ast.ClassDef) and statement.name == name:
                self._gather(module, statement, gathered, depth)
                return
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if (alias.asname or alias.name) == name:
                        self.at_class(_imported(module, statement), alias.name, gathered, depth - 1)
                        return
        gathered.complete = False

    def _gather(self, module: _Module, statement: ast.ClassDef, gathered: _Gathered, depth: int) -> None:
        for name, value in _assignments(statement.body):
            if name == "summary" and not gathered.summary and isinstance(value, ast.Constant):
                gathered.summary = str(value.value)
            elif name == "api_version" and gathered.api_version is None:
                gathered.api_version = _version(value)
            elif name == "provides":
                gathered.provides |= set(_words(value))
            elif name == "packages_wanted" and tuple(_words(value)):
                gathered.hooks.add("packages")
            elif name == "folder" and gathered.folder is None:
                gathered.folder = _path(value, module, DEPTH)
                gathered.complete = gathered.complete and gathered.folder is not None
        for inner in statement.body:
            if isinstance(inner, ast.FunctionDef) and inner.name in HOOKS and any(map(_is_mark, inner.decorator_list)):
                gathered.hooks.add(inner.name)
        for base in statement.bases:
            if isinstance(base, ast.Name) and base.id != "Flavour":
                self.at_class(module.name, base.id, gathered, depth - 1)
            elif not isinstance(base, ast.Name) and not (isinstance(base, ast.Attribute) and base.attr == "Flavour"):
                gathered.complete = False

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            path = self._file(name)
            if path is None:
                if name == (self._found.entry_point.module if self._found.entry_point else ""):
                    raise self._fail(f"there is no module {name}")
                return None
            try:
                body = ast.parse(path.read_bytes(), filename=str(path)).body
            except (OSError, SyntaxError, ValueError) as error:
                raise self._fail(f"{type(error).__name__}: {error}") from error
            self._modules[name] = _Module(name=name, path=path, body=body)
        return self._modules[name]

    def _fail(self, cause: str) -> Exception:
        return broken(
            self._found.origin, "flavour-does-not-load", f"flavour `{self._found.name}` does not load", cause=cause
        )

    def _file(self, name: str) -> Path | None:
        """The source of a module. Only the top-level package is looked up: finding a sub-module would import it."""
        top, *inner = name.split(".")
        try:
            found = PathFinder.find_spec(top, [str(self._found.tree)]) if self._found.tree else find_spec(top)
        except (ImportError, ValueError, AttributeError):
            return None
        if found is None:
            return None
        if not inner:
            return Path(found.origin) if found.origin and found.origin.endswith(".py") else None
        for root in found.submodule_search_locations or ():
            place = Path(root).joinpath(*inner)
            for candidate in (place / "__init__.py", place.with_name(f"{place.name}.py")):
                if candidate.is_file():
                    return candidate
        return None


def _imported(module: _Module, statement: ast.ImportFrom) -> str:
    """The absolute name of the module that a ``from … import`` names."""
    if not statement.level:
        return statement.module or ""
    parts = module.package.split(".")
    parts = parts[: len(parts) - statement.level + 1]
    return ".".join([*parts, *([statement.module] if statement.module else [])])


def _assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id, statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value


def _words(value: ast.expr) -> Iterator[str]:
    for item in value.elts if isinstance(value, ast.Tuple | ast.List) else ():
        if isinstance(item, ast.Constant):
            yield str(item.value)
        elif "OPERATING_SYSTEM" in (getattr(item, "id", ""), getattr(item, "attr", "")):
            yield OPERATING_SYSTEM


def _version(value: ast.expr) -> int | None:
    """A number, or a sum of numbers and this contract's own."""
    match value:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id="API_VERSION") | ast.Attribute(attr="API_VERSION"):
            return API_VERSION
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _version(left), _version(right)
            return first + second if first is not None and second is not None else None
    return None


def _is_mark(decorator: ast.expr) -> bool:
    mark = decorator.func if isinstance(decorator, ast.Call) else decorator
    return "hookimpl" in (getattr(mark, "id", ""), getattr(mark, "attr", ""))


def _path(value: ast.expr, module: _Module, depth: int) -> Path | None:
    """The path that an expression of ``__file__``, ``Path``, ``parent``, ``/``, and names of the module stands for."""
    if depth == 0:
        return None
    match value:
        case ast.Call(func=ast.Name(id="Path"), args=[ast.Name(id="__file__")]):
            return module.path
        case ast.Call(func=ast.Attribute(value=inner, attr="resolve" | "absolute"), args=[]):
            return _path(inner, module, depth - 1)
        case ast.Call(func=ast.Attribute(value=inner, attr="with_name"), args=[ast.Constant(value=str(name))]):
            path = _path(inner, module, depth - 1)
            return path.with_name(name) if path else None
        case ast.Attribute(value=inner, attr="parent"):
            path = _path(inner, module, depth - 1)
            return path.parent if path else None
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=str(name))):
            path = _path(left, module, depth - 1)
            return path / name if path else None
        case ast.Name(id=name):
            for other, given in _assignments(module.body):
                if other == name:
                    return _path(given, module, depth - 1)
    return None
