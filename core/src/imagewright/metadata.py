"""What a flavour says of itself, in one form for both kinds of flavours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imagewright.blankslate.rules import known
from imagewright.errors import ContractError
from imagewright.flavour import Flavour
from imagewright.types import Origin, Parameter

PARAMETER_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")

RESERVED = frozenset(
    {
        "PATH",
        "HOME",
        "PWD",
        "OLDPWD",
        "IFS",
        "ENV",
        "CDPATH",
        "SHELLOPTS",
        "BASHOPTS",
        "PS1",
        "PS2",
        "PS3",
        "PS4",
        "UID",
        "EUID",
        "PPID",
        "GROUPS",
        "RANDOM",
        "SECONDS",
        "LINENO",
        "OPTARG",
        "OPTIND",
        "OPTERR",
        "REPLY",
        "FUNCNAME",
        "DIRSTACK",
        "TZ",
        "TMPDIR",
        "ARCH",
        "RELEASE",
        "IMAGE_NAME",
        "IMAGE_TYPE",
        "IMAGE_SIZE",
        "IMAGE_KERNEL",
        "IMAGE_BLOCK_DEVICE",
        "TARGET_ROOT",
        "TMP_HOOKS_PATH",
        "SOURCE_DATE_EPOCH",
        "DEBIAN_FRONTEND",
        "FS_TYPE",
        "FLAVOURS_PATH",
        "BASE_IMAGE_FILE",
        "CLOUD_IMAGES",
    }
)
RESERVED_PREFIXES = ("LD_", "PYTHON", "LC_", "BASH_", "SUDO_", "IMAGE_", "IMAGEWRIGHT_", "_")
"""Variables that mean something else to a script, a shell, a loader or the build: no parameter may be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The declarations of a flavour; of a Python flavour with a folder, those of both."""

    summary: str = ""
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    reads: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    disk_space: int = 0

    def joined(self, other: Metadata) -> Metadata:
        """Both together; a parameter of the same name is taken from the first."""
        own = {parameter.name for parameter in self.parameters}
        return Metadata(
            summary=self.summary or other.summary,
            requires=_union(self.requires, other.requires),
            conflicts=_union(self.conflicts, other.conflicts),
            provides=_union(self.provides, other.provides),
            packages=_union(self.packages, other.packages),
            parameters=self.parameters + tuple(one for one in other.parameters if one.name not in own),
            reads=_union(self.reads, other.reads),
            allows=_union(self.allows, other.allows),
            programs=_union(self.programs, other.programs),
            disk_space=max(self.disk_space, other.disk_space),
        )


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(first + second))


def broken(origin: Origin, reference: str, message: str, *, cause: str = "", hint: str = "") -> ContractError:
    """The error that says who broke the contract: flavour, distribution with version, place."""
    where = [f"flavour: {origin.flavour}"]
    if origin.distribution:
        where.append(f"distribution: {origin.distribution} {origin.version}".rstrip())
    if origin.location:
        where.append(f"place: {origin.location}")
    return ContractError(reference, message, where=tuple(where), cause=cause, hint=hint)


def metadata_of(flavour: Flavour, origin: Origin) -> Metadata:
    """Read the class attributes. Raises ContractError for one of the wrong type."""
    if not isinstance(flavour.default_release, str):
        raise _wrong(origin, flavour, "default_release", "a string", flavour.default_release)
    for attribute in ("requires", "conflicts", "provides", "packages_wanted", "reads", "allows", "programs"):
        value = getattr(flavour, attribute)
        if not isinstance(value, tuple | list) or not all(isinstance(one, str) and one.strip() for one in value):
            raise _wrong(origin, flavour, attribute, "a tuple of names", value)
    if not isinstance(flavour.summary, str):
        raise _wrong(origin, flavour, "summary", "a string", flavour.summary)
    given: object = flavour.parameters
    if not isinstance(given, tuple | list) or not all(isinstance(one, Parameter) for one in given):
        raise _wrong(origin, flavour, "parameters", "a tuple of Parameter", flavour.parameters)
    if not isinstance(flavour.folder, Path | None):
        raise _wrong(origin, flavour, "folder", "a pathlib.Path", flavour.folder)
    space: object = flavour.disk_space
    if not isinstance(space, int) or space < 0:
        raise _wrong(origin, flavour, "disk_space", "a number of bytes", space)
    check_parameters(tuple(flavour.parameters), origin)
    check_allows(flavour.allows, origin)
    return Metadata(
        summary=flavour.summary,
        requires=tuple(flavour.requires),
        conflicts=tuple(flavour.conflicts),
        provides=tuple(flavour.provides),
        packages=tuple(flavour.packages_wanted),
        parameters=tuple(flavour.parameters),
        reads=tuple(flavour.reads),
        allows=tuple(flavour.allows),
        programs=tuple(flavour.programs),
        disk_space=flavour.disk_space,
    )


def _wrong(origin: Origin, flavour: Flavour, attribute: str, wanted: str, value: object) -> ContractError:
    return broken(
        origin,
        "wrong-metadata",
        f"`{type(flavour).__name__}.{attribute}` of flavour `{origin.flavour}` must be {wanted}",
        cause=f"it is {type(value).__name__}: {value!r}",
    )


def check_allows(names: Iterable[str], origin: Origin) -> None:
    """Raise ContractError for a name that no rule of the blank slate has."""
    for name in names:
        try:
            known(name)
        except ValueError as error:
            raise broken(
                origin,
                "unknown-slate-rule",
                f"flavour `{origin.flavour}` allows `{name}`, which is no rule of the blank slate",
                hint=str(error),
            ) from None


def check_parameters(parameters: tuple[Parameter, ...], origin: Origin) -> None:
    """Raise ContractError for a declaration that cannot work."""
    seen: set[str] = set()
    for parameter in parameters:
        problem = _problem(parameter)
        if parameter.variable in seen:
            problem = f"another parameter has the same variable {parameter.variable}"
        seen.add(parameter.variable)
        if problem:
            raise broken(
                origin,
                "bad-parameter",
                f"the parameter `{parameter.name}` of flavour `{origin.flavour}` is wrong: {problem}",
            )


def _problem(parameter: Parameter) -> str:
    if PARAMETER_NAME.fullmatch(parameter.name) is None:
        return "a name consists of lower-case letters, digits and single dashes, and starts with a letter"
    if parameter.variable in RESERVED or parameter.variable.startswith(RESERVED_PREFIXES):
        return f"its variable {parameter.variable} is reserved"
    if parameter.secret and parameter.type not in {"string", "path"}:
        return f"a secret is of type string or path, not {parameter.type}"
    if parameter.secret and parameter.default is not None:
        return "a secret has no default, since everybody who has the flavour could read it"
    if parameter.required and parameter.default is not None:
        return "it is required and has a default"
    kinds: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "path": str}
    if parameter.type not in kinds:
        return f"its type is one of {', '.join(kinds)}, not {parameter.type}"
    default = parameter.default
    if default is not None:
        fits = isinstance(default, kinds[parameter.type]) and (
            parameter.type == "boolean" or not isinstance(default, bool)
        )
        if not fits:
            return f"its default {default!r} is not of type {parameter.type}"
    return ""
