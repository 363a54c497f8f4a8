"""Which value an option has, and who said so: flag, variable, ancestor's variable, project file, user file, default."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.settings import SETTINGS, Setting
from imagewright.documents import parse_toml
from imagewright.errors import UsageError

FILE_NAME = "imagewright.toml"


class Resolved(NamedTuple):
    """The value of an option with its source, such as ``--arch``, ``ARCH``, a file's path or ``default``."""

    setting: Setting
    value: Any
    source: str


class SettingsFile(NamedTuple):
    """A settings file as it was read, or one table of an images file; ``name`` says which then."""

    path: Path
    table: Mapping[str, Any]
    name: str = ""

    @property
    def source(self) -> str:
        """What messages call it."""
        return self.name or str(self.path)


class Values(Mapping[str, Any]):
    """The values of a command's options by name."""

    def __init__(self, resolved: Iterable[Resolved]) -> None:
        self.resolved = tuple(resolved)
        self._values = {item.setting.name: item.value for item in self.resolved}

    def __getitem__(self, name: str) -> Any:
        """The value of an option."""
        return self._values[name]

    def __iter__(self) -> Any:
        """The names."""
        return iter(self._values)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._values)


def resolve(
    settings: Sequence[Setting],
    *,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    files: Sequence[SettingsFile] = (),
    defaults: Mapping[str, Any] | None = None,
    tables: Sequence[SettingsFile] = (),
) -> Values:
    """Give every option its value. ``flags`` holds what stands on the command line, by name of the option.

    ``files`` come strongest first; ``defaults`` replaces defaults of the table. ``tables`` are those of an images file,
    stronger than the environment. Raises UsageError.
    """
    resolved = []
    for setting in settings:
        default = (defaults or {}).get(setting.name, setting.default)
        found = list(_candidates(setting, flags, tables, environment, files))
        if not found:
            resolved.append(Resolved(setting=setting, value=default, source="default"))
        elif setting.kind is Kind.PAIRS:
            resolved.append(_merge(setting, found))
        else:
            value, source = found[0]
            resolved.append(Resolved(setting=setting, value=value, source=source))
    return Values(resolved)


def _candidates(
    setting: Setting,
    flags: Mapping[str, Any],
    tables: Sequence[SettingsFile],
    environment: Mapping[str, str],
    files: Sequence[SettingsFile],
) -> Iterable[tuple[Any, str]]:
    """The values found, strongest first; weaker sources are looked at only if someone asks for them."""
    given = flags.get(setting.name)
    if given is not None:
        yield from_flag(setting, given), setting.flag
        if setting.kind is not Kind.PAIRS:
            return
    for table in tables:
        if setting.name in table.table:
            yield _from_file(setting, table), table.source
            if setting.kind is not Kind.PAIRS:
                return
    for variable in setting.variables:
        text = environment.get(variable, "")
        if text:
            yield from_variable(setting, variable, text), variable
            if setting.kind is not Kind.PAIRS:
                return
    for file in files:
        if setting.name in file.table:
            yield _from_file(setting, file), file.source
            if setting.kind is not Kind.PAIRS:
                return


def _merge(setting: Setting, found: Sequence[tuple[Any, str]]) -> Resolved:
    pairs: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for value, _ in reversed(found):
        for pair in value:
            pairs[pair[:-1]] = pair
    return Resolved(setting=setting, value=tuple(pairs.values()), source=", ".join(source for _, source in found))


def from_flag(setting: Setting, given: Any) -> Any:
    """The value that a flag gives: a switch's bool, a text, or several texts. Raises UsageError."""
    if isinstance(given, bool):
        return given
    texts = [given] if isinstance(given, str) else list(given)
    return _convert(setting, texts, variable=False, where=f"`{setting.flag}`")


def from_variable(setting: Setting, variable: str, text: str) -> Any:
    """The value that an environment variable gives. Raises UsageError that names the variable."""
    return _convert(setting, [text], variable=True, where=f"the environment variable `{variable}`")


def _convert(setting: Setting, texts: Sequence[str], *, variable: bool, where: str, base: Path | None = None) -> Any:
    values = []
    for whole in texts:
        try:
            parts = setting.kind.parts(whole, variable=variable)
        except ValueError as error:
            raise _bad(setting, where, whole, str(error).lower()) from None
        for part in parts:
            try:
                value = setting.convert(_anchored(setting, part, base))
            except ValueError as error:
                raise _bad(setting, where, part, str(error)) from None
            values.append(value)
    return tuple(dict.fromkeys(values)) if setting.kind.repeatable else values[-1]


def _anchored(setting: Setting, text: str, base: Path | None) -> str:
    """A relative path of a settings file, seen from the file's folder."""
    if base is None or text.startswith("~"):
        return text
    if setting.of_path:
        # joined as text, since a slash at the end means something
        return os.path.join(base, text) if text else text
    if setting.name == "override":
        name, equals, folder = text.partition("=")
        if folder and not folder.startswith("~"):
            return f"{name}{equals}{base / folder}"
    return text


def _bad(setting: Setting, where: str, text: str, reason: str) -> UsageError:
    if setting.kind is Kind.PAIRS and ("=" in text or setting.name == "set"):
        # what follows may be a secret, and so may a word without the sign: the end of a value that nobody quoted
        name, equals, _ = text.partition("=")
        text = f"{name}=…" if equals else "…"
    return UsageError("bad-value", f"`{text}` is no good value for {where}: {reason}")


# -- settings files


def read_files(directory: Path, user_file: Path) -> tuple[SettingsFile, ...]:
    """The project file of a folder and the user's file, as far as they exist. Raises UsageError."""
    paths = [directory / FILE_NAME, user_file]
    return tuple(file for path in paths if (file := _read(path)) is not None)


def _read(path: Path) -> SettingsFile | None:
    try:
        table = read_toml(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    for key in table:
        if key not in SETTINGS:
            raise _unknown_key(path, key)
    return SettingsFile(path=path, table=table)


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises UsageError, and FileNotFoundError or NotADirectoryError if it is not there."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # a device never ends, and a pipe may never begin
            raise UsageError("settings-file", f"`{path}` is no file", hint="name one that is written in TOML")
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UsageError("settings-file", f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from error
    try:
        return parse_toml(content)
    except ValueError as error:
        raise UsageError(
            "settings-file",
            f"`{path}` is not TOML",
            cause=str(error),
            hint='texts stand in quotes, lists in brackets: `release = "trixie"`, `type = ["raw", "tar"]`',
        ) from error


def _unknown_key(path: Path, key: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(key.lower().replace("_", "-"), SETTINGS, n=1)
    return UsageError(
        "unknown-key",
        f"`{path}` sets `{key}`, which is no option",
        hint=f"did you mean `{near[0]}`?" if near else "`imagewright config show` lists all options",
    )


def _from_file(setting: Setting, file: SettingsFile) -> Any:
    value = file.table[setting.name]
    where = f"`{setting.name}` in {file.name or f'`{file.path}`'}"
    if setting.kind is Kind.SWITCH:
        if not isinstance(value, bool):
            raise UsageError("bad-value", f"{where} must be true or false, without quotes")
        return value
    if setting.kind is Kind.PAIRS and isinstance(value, dict):
        texts = list(_flatten(value, where))
    elif setting.kind.repeatable and isinstance(value, list):
        texts = [_plain(item, where) for item in value]
    elif isinstance(value, list | dict):
        raise UsageError("bad-value", f"{where} must be one value")
    else:
        texts = [_plain(value, where)]
    return _convert(setting, texts, variable=False, where=where, base=file.path.parent)


def _flatten(table: Mapping[str, Any], where: str, prefix: str = "") -> Iterable[str]:
    """``{vm: {size: 4}}`` as ``vm.size=4``."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, where, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={_plain(value, where)}"


def _plain(value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise UsageError("bad-value", f"{where} must be a text or a number")
