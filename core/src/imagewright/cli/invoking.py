"""Runs the body of a command: the words of the command line become values, from wherever each comes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from imagewright.cli.invocation import Invocation
from imagewright.cli.options.origins import name_source, warn_of_unknown_variables
from imagewright.cli.options.resolve import read_files, resolve
from imagewright.cli.options.setting import Setting
from imagewright.cli.places import current_folder, user_file
from imagewright.cli.screen import Screen
from imagewright.errors import ImagewrightError


def invoke(
    body: str,
    settings: Sequence[Setting],
    *,
    program: str,
    flags: Mapping[str, Any],
    arguments: Mapping[str, Any],
    screen: Screen,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Resolve ``settings`` and call ``body``, ``module:function``. Raises ImagewrightError.

    ``flags`` holds what stands on the command line by the name of its option; ``defaults`` replaces defaults.
    """
    screen.json = screen.json or bool(flags.get("json"))
    screen.debug = screen.debug or bool(flags.get("debug"))
    environment = dict(os.environ)
    values = resolve(
        settings,
        flags=flags,
        environment=environment,
        files=read_files(current_folder(), user_file()) if settings else (),
        defaults=defaults,
    )
    screen.json = bool(values.get("json")) or values.get("progress") == "json"
    screen.debug = bool(values.get("debug"))
    warn_of_unknown_variables(environment, values)
    module, _, function = body.partition(":")
    run = getattr(importlib.import_module(module), function)
    invocation = Invocation(program=program, values=values, arguments=arguments, environment=environment, screen=screen)
    try:
        run(invocation)
    except ImagewrightError as error:
        name_source(error, values)
        raise
