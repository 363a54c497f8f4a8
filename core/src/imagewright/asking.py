"""Asks the chosen flavours what they contribute. The only user of pluggy's manager, one per build.

Pluggy holds the hooks to their specifications. Each flavour is asked by itself, with its own context, so that every
value and every failure has a name to it; no order of plugins plays a part. A generator runs where it is consumed: here,
within the blame.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pluggy

from imagewright.discovery import Loaded
from imagewright.drivers import PackageManager
from imagewright.errors import ContractError, ImagewrightError, PlanError, UsageError
from imagewright.flavour import MARK, Flavour
from imagewright.hookspecs import HOOKS, PROJECT, ImageSpecs, RamdiskSpecs
from imagewright.metadata import broken
from imagewright.types import (
    BinaryDependency,
    BuildContext,
    InitFragment,
    KernelModules,
    Phase,
    Repository,
    Step,
    Tree,
    UdevRules,
)

T = TypeVar("T")

MANAGER_PARTS = tuple(
    name for name in vars(PackageManager) if not name.startswith("_")
)  # what a package manager must have; methods and the property `name`

_HOOKS = tuple(sorted(HOOKS))


class Panel:
    """The flavours of one build, checked by a manager of their own."""

    def __init__(self, flavours: Sequence[Loaded]) -> None:
        """Check them in the order given. Raises ContractError for a hook with a wrong signature or option."""
        self._manager = pluggy.PluginManager(PROJECT)
        self._known: set[tuple[object, ...]] = set()
        self._manager.add_hookspecs(ImageSpecs)
        self._manager.add_hookspecs(RamdiskSpecs)
        for loaded in flavours:
            for number, part in enumerate(loaded.parts):
                # a build may have a hundred flavours that are folders, and the hooks of those are the same functions
                functions = tuple(getattr(type(part), hook) for hook in _HOOKS)
                if functions not in self._known or HOOKS & vars(part).keys():
                    self._register(loaded, part, loaded.name if number == 0 else f"{loaded.name} (folder)")
                    self._known.add(functions)

    def steps(self, loaded: Loaded, phase: Phase, ctx: BuildContext) -> tuple[Step, ...]:
        """The steps of one flavour in one phase, as it gave them."""
        return self._ask(loaded, phase.hook, ctx, Step)

    def repositories(self, loaded: Loaded, ctx: BuildContext) -> tuple[Repository, ...]:
        """The package repositories that a flavour brings for the build."""
        return self._ask(loaded, "repositories", ctx, Repository)

    def package_manager(self, loaded: Loaded, ctx: BuildContext) -> PackageManager | None:
        """The package manager that an operating-system flavour gives, or None."""
        given: list[PackageManager] = []
        for part in loaded.parts:
            for manager in self._call(loaded, part, "package_manager", ctx):
                lacking = [name for name in MANAGER_PARTS if not hasattr(manager, name)]
                if lacking:
                    raise broken(
                        loaded.origin,
                        "not-a-package-manager",
                        f"the package manager of flavour `{loaded.name}` breaks the contract",
                        cause=f"{type(manager).__name__} lacks {', '.join(lacking)}",
                    )
                given.append(manager)
        return given[0] if given else None

    def binary_deps(self, loaded: Loaded, ctx: BuildContext) -> tuple[BinaryDependency, ...]:
        """The executables that a flavour wants in a ramdisk."""
        return self._ask(loaded, "binary_deps", ctx, BinaryDependency)

    def init(self, loaded: Loaded, ctx: BuildContext) -> tuple[InitFragment, ...]:
        """The pieces of ``/init`` of a flavour."""
        return self._ask(loaded, "init", ctx, InitFragment)

    def udev(self, loaded: Loaded, ctx: BuildContext) -> tuple[UdevRules, ...]:
        """The udev rules of a flavour."""
        return self._ask(loaded, "udev", ctx, UdevRules)

    def modules(self, loaded: Loaded, ctx: BuildContext) -> tuple[KernelModules, ...]:
        """The kernel modules of a flavour."""
        return self._ask(loaded, "modules", ctx, KernelModules)

    def files(self, loaded: Loaded, ctx: BuildContext) -> tuple[Tree, ...]:
        """The trees that a flavour lays into a ramdisk."""
        return self._ask(loaded, "files", ctx, Tree)

    def _register(self, loaded: Loaded, part: Flavour, name: str) -> None:
        _check_options(loaded, part)
        try:
            self._manager.register(part, name=name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise broken(
                loaded.origin,
                "bad-hook-signature",
                f"a hook of flavour `{loaded.name}` does not fit the contract",
                cause=" ".join(str(error).split()),
                hint="every hook takes exactly `self` and `ctx`",
            ) from error

    def _ask(self, loaded: Loaded, hook: str, ctx: BuildContext, kind: type[T]) -> tuple[T, ...]:
        values: list[T] = []
        for part in loaded.parts:
            for result in self._call(loaded, part, hook, ctx):
                with _without_secrets(loaded, ctx):
                    values += self._consumed(loaded, hook, result, kind)
        return tuple(values)

    def _call(self, loaded: Loaded, part: Flavour, hook: str, ctx: BuildContext) -> list[Any]:
        method = getattr(part, hook)
        if not hasattr(method, MARK):
            return []
        with _without_secrets(loaded, ctx):
            try:
                result = method(ctx=ctx)
            except Exception as error:
                raise _blamed(loaded, hook, error) from error
        return [] if result is None else [result]

    def _consumed(self, loaded: Loaded, hook: str, result: object, kind: type[T]) -> list[T]:
        if not isinstance(result, Iterable) or isinstance(result, str | bytes):
            raise _wrong_type(loaded, hook, f"an iterable of {kind.__name__}", result)
        values: list[T] = []
        try:
            for value in result:
                if not isinstance(value, kind):
                    raise _wrong_type(loaded, hook, f"values of {kind.__name__}", value)
                values.append(value)
        except ContractError:
            raise
        except Exception as error:
            raise _blamed(loaded, hook, error) from error
        return values


def _check_options(loaded: Loaded, part: Flavour) -> None:
    for hook in _HOOKS:
        method = getattr(part, hook)
        options = getattr(method, MARK, None) or {}
        for option in ("tryfirst", "trylast", "hookwrapper", "wrapper"):
            if options.get(option):
                raise broken(
                    loaded.origin,
                    "hook-option-refused",
                    f"the hook `{hook}` of flavour `{loaded.name}` uses `{option}`, which flavours may not",
                    hint="the number of a step's id, `before` and `after` give the order",
                )
        if options and [*inspect.signature(method).parameters] != ["ctx"]:
            raise broken(
                loaded.origin,
                "bad-hook-signature",
                f"the hook `{hook}` of flavour `{loaded.name}` has a wrong signature",
                cause=f"it is {hook}{inspect.signature(method)}",
                hint=f"def {hook}(self, ctx): every hook takes exactly `self` and `ctx`",
            )


@contextmanager
def _without_secrets(loaded: Loaded, ctx: BuildContext) -> Iterator[None]:
    """Take the values of secret parameters out of what a hook raises."""
    try:
        yield
    except ImagewrightError as error:
        names = {one.name for one in loaded.metadata.parameters if one.secret}
        secrets = sorted((str(ctx.parameters[name]) for name in names if ctx.parameters.get(name)), key=len)

        def starred(text: str) -> str:
            for secret in reversed(secrets):
                text = text.replace(secret, "***")
            return text

        error.change(starred)
        raise


def _blamed(loaded: Loaded, hook: str, error: Exception) -> ImagewrightError:
    if isinstance(error, PlanError | UsageError):
        # the hook says that the request is wrong, not that it broke
        if not any(line.startswith("flavour: ") for line in error.where):
            error.where = (*error.where, f"flavour: {loaded.origin}")
        return error
    place = _place(error)
    if isinstance(error, ImagewrightError):
        cause, hint = error.message, error.hint
    else:
        cause, hint = f"{type(error).__name__}: {error}", ""
    return broken(
        loaded.origin,
        "hook-failed",
        f"the hook `{hook}` of flavour `{loaded.name}` failed",
        cause=f"{cause} ({place})" if place else cause,
        hint=hint,
    )


def _place(error: Exception) -> str:
    """File and line where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}" if trace is not None else ""


def _wrong_type(loaded: Loaded, hook: str, wanted: str, value: object) -> ContractError:
    return broken(
        loaded.origin,
        "wrong-hook-value",
        f"the hook `{hook}` of flavour `{loaded.name}` must return {wanted}",
        cause=f"it gave {type(value).__name__}",
    )
