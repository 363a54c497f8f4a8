"""The values of the flavours' parameters: from ``--set``, the environment, or the default; checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from imagewright.discovery import Loaded
from imagewright.errors import UsageError
from imagewright.types import Parameter, Plain

AMBIENT = frozenset(
    {"USER", "LOGNAME", "SHELL", "HOSTNAME", "HOST", "LANG", "LANGUAGE", "TERM", "MAIL", "EDITOR", "PAGER", "DISPLAY"}
)
"""Variables that a login sets anyway: they never set a parameter of that name, only the one with the prefix does."""

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})


class Secret(str):
    """A value that no representation shows; as a string it is what it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Three stars."""
        return "'***'"


def values_of(
    flavours: Sequence[Loaded],
    settings: Sequence[tuple[str, str, str]],
    environment: Mapping[str, str],
) -> dict[str, dict[str, Plain]]:
    """The values of every flavour's parameters, by flavour and name.

    Raises UsageError for a setting of an unknown flavour or parameter, a value of the wrong type and a required
    parameter without a value.
    """
    given = _settings(flavours, settings)
    values: dict[str, dict[str, Plain]] = {}
    for loaded in flavours:
        values[loaded.name] = {}
        for parameter in loaded.metadata.parameters:
            values[loaded.name][parameter.name] = _value(loaded.name, parameter, given, environment)
    return values


def option(flavour: str, parameter: Parameter) -> str:
    """How a user sets it on the command line."""
    return f"--set {flavour}.{parameter.name}"


def variables(flavour: str, parameter: Parameter) -> tuple[str, ...]:
    """The environment variables that set it, the first one first."""
    own = f"IMAGEWRIGHT_{flavour.upper().replace('-', '_')}_{parameter.variable}"
    return (own,) if parameter.variable in AMBIENT else (own, parameter.variable)


def _settings(flavours: Sequence[Loaded], settings: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], str]:
    chosen = {loaded.name: loaded for loaded in flavours}
    given: dict[tuple[str, str], str] = {}
    for flavour, name, value in settings:
        if flavour not in chosen:
            near = get_close_matches(flavour, chosen, n=1)
            raise UsageError(
                "setting-of-absent-flavour",
                f"`--set {flavour}.{name}` sets a parameter of a flavour that is not in this build",
                hint=f"did you mean `{near[0]}`?" if near else f"flavours of this build: {', '.join(chosen)}",
                option="set",
            )
        declared = {parameter.name: parameter for parameter in chosen[flavour].metadata.parameters}
        key = name if name in declared else name.replace("_", "-")
        if key not in declared:
            near = get_close_matches(name, declared, n=1)
            if near:
                hint = f"did you mean `{flavour}.{near[0]}`?"
            elif declared:
                hint = f"parameters of `{flavour}`: {', '.join(declared)}"
            else:
                hint = f"flavour `{flavour}` has no parameters"
            raise UsageError(
                "unknown-parameter", f"flavour `{flavour}` has no parameter `{name}`", hint=hint, option="set"
            )
        given[flavour, key] = value
    return given


def _value(
    flavour: str,
    parameter: Parameter,
    given: Mapping[tuple[str, str], str],
    environment: Mapping[str, str],
) -> Plain:
    if (flavour, parameter.name) in given:
        return _typed(parameter, given[flavour, parameter.name], option(flavour, parameter), environment)
    for variable in variables(flavour, parameter):
        if environment.get(variable):  # an empty variable is unset
            return _typed(parameter, environment[variable], variable, environment)
    if parameter.required:
        raise UsageError(
            "parameter-missing",
            f"flavour `{flavour}` needs a value for its parameter `{parameter.name}`",
            cause=parameter.help,
            hint=f"{option(flavour, parameter)}=VALUE, or {variables(flavour, parameter)[-1]}=VALUE in the environment",
        )
    return parameter.default


def _typed(parameter: Parameter, text: str, source: str, environment: Mapping[str, str]) -> Plain:
    if "\0" in text or (parameter.type != "string" and "\n" in text):
        raise _wrong(parameter, text, source, f"a {parameter.type} on one line")
    if parameter.type == "integer":
        try:
            return int(text.strip())
        except ValueError:
            raise _wrong(parameter, text, source, "an integer") from None
    if parameter.type == "boolean":
        word = text.strip().lower()
        if word not in TRUE | FALSE:
            raise _wrong(parameter, text, source, "true or false")
        return word in TRUE
    if parameter.type == "path" and text:
        text = _path(text, environment)
    return Secret(text) if parameter.secret else text


def _path(text: str, environment: Mapping[str, str]) -> str:
    """An absolute path; ``~`` is the caller's home."""
    home = environment.get("HOME", "")
    if home and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    return str(Path(text).expanduser().absolute())


def _wrong(parameter: Parameter, text: str, source: str, wanted: str) -> UsageError:
    shown = "" if parameter.secret else f"`{text}` "
    return UsageError(
        "bad-parameter-value",
        f"`{source}`: {shown}is not {wanted}" if shown else f"`{source}`: the value is not {wanted}",
        cause=parameter.help,
        option="set" if source.startswith("--set ") else "",
    )
