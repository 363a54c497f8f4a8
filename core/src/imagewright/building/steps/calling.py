"""Calling the Python functions that flavours name as steps."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imagewright.errors import ContractError
from imagewright.types import CallContext, Plain


def module_of(function: str) -> str:
    """The module of ``module:function``."""
    return function.partition(":")[0]


def call_in_tree(
    *,
    function: str,
    arguments: Mapping[str, Plain],
    environment: Mapping[str, str],
    cache: str,
    target: str,
    facts: Mapping[str, str],
    offline: bool,
    locked: str = "",
    packages: str = "",
    fetched: str = "",
) -> object:
    """Call a step's function as mapped root, in a process of the sandbox; what it returns.

    ``target`` may be empty, as may ``locked``, ``packages`` and ``fetched``.
    """
    context = CallContext(
        target_root=Path(target) if target else None,
        environment=environment,
        cache=Path(cache),
        facts=facts,
        offline=offline,
        locked=Path(locked) if locked else None,
        packages=Path(packages) if packages else None,
        fetched=Path(fetched) if fetched else None,
    )
    return _find(function)(context, **arguments)


def call_on_host(
    *,
    function: str,
    arguments: Mapping[str, Plain],
    environment: Mapping[str, str],
    cache: str,
    facts: Mapping[str, str],
    offline: bool,
) -> object:
    """Call a step's function as the caller, in a process of its own on the host; what it returns."""
    context = CallContext(target_root=None, environment=environment, cache=Path(cache), facts=facts, offline=offline)
    return _find(function)(context, **arguments)


def _find(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ContractError(
            "step-function", f"the function {function} of a step cannot be found", cause=str(error)
        ) from error
    return found
