"""Reads an images file: many images and ramdisks, what they share, and matrices of values that make several of one.

The form is in ``docs/images-file.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.resolve import SettingsFile, read_toml
from imagewright.cli.options.sets import ALONE, DISK_IMAGE, RAMDISK_IMAGE, RUN_WIDE
from imagewright.cli.options.setting import Setting
from imagewright.errors import UsageError

DISK, RAMDISK = "disk", "ramdisk"

OPTIONS: Mapping[str, Mapping[str, Setting]] = {
    kind: {setting.name: setting for setting in settings if setting.name not in (*RUN_WIDE, *ALONE)}
    for kind, settings in ((DISK, DISK_IMAGE), (RAMDISK, RAMDISK_IMAGE))
}
"""What an entry of each kind may set: every option of its command but those of the run as a whole."""

_DEFAULTS, _IMAGES = "defaults", "images"
_KIND, _FLAVOURS, _MATRIX = "kind", "flavours", "matrix"
_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9_-]*)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

_EXAMPLE = '`[images.web]` with `flavours = ["debian", "vm"]` below it'


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEntry:
    """One image to make: an entry of the file, or one combination of its matrix.

    ``tables`` are what it sets and what all of the file's images share, the stronger first; ``output`` is always in
    them, and the places in texts are filled.
    """

    name: str
    kind: str
    flavours: tuple[str, ...]
    tables: tuple[SettingsFile, ...]


def read_images(path: Path) -> tuple[ImageEntry, ...]:
    """The images of a file, in its order. Raises UsageError that names the file and the key."""
    try:
        document = read_toml(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            "no-images-file", f"there is no file `{path}`", hint=f"an images file has tables such as {_EXAMPLE}"
        ) from None
    return _Reader(path).entries(document)


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path

    def entries(self, document: Mapping[str, Any]) -> tuple[ImageEntry, ...]:
        for key in document:
            if key not in (_DEFAULTS, _IMAGES):
                raise self._wrong(
                    "", key, "is neither `[defaults]` nor `[images.NAME]`", hint=f"put options into {_EXAMPLE}"
                )
        shared = self._table(document.get(_DEFAULTS, {}), f"[{_DEFAULTS}]")
        self._check_keys(shared, f"[{_DEFAULTS}]", "")
        named = document.get(_IMAGES, {})
        if not isinstance(named, dict) or not named:
            raise UsageError("images-file", f"`{self.path}` names no image", hint=f"for example {_EXAMPLE}")
        found: dict[str, ImageEntry] = {}
        for pattern, table in named.items():
            title = f"[{_IMAGES}.{pattern if _NAME.fullmatch(pattern) and '.' not in pattern else repr(pattern)}]"
            for entry in self._expanded(pattern, self._table(table, title), title, shared):
                if entry.name in found:
                    raise self._wrong(
                        title,
                        _MATRIX,
                        f"makes two images that are called `{entry.name}`",
                        hint=f'put each key of the matrix into the name, such as `[{_IMAGES}."{pattern}-{{release}}"]`',
                    )
                found[entry.name] = entry
        return tuple(found.values())

    def _expanded(
        self, pattern: str, table: Mapping[str, Any], title: str, shared: Mapping[str, Any]
    ) -> Iterator[ImageEntry]:
        """The images of one entry: one for each combination of its matrix's values."""
        kind = table.get(_KIND, DISK)
        if kind not in OPTIONS:
            raise self._wrong(title, _KIND, 'is "disk" or "ramdisk"')
        self._check_keys(table, title, kind)
        matrix = self._matrix(table, title, kind)
        for values in product(*matrix.values()):
            chosen = dict(zip(matrix, values, strict=True))
            words = {key: _word(value) for key, value in chosen.items()}
            name = self._name(pattern, words, title)
            words["name"] = name
            options = {key: value for key, value in chosen.items() if key in OPTIONS[kind] or key == _FLAVOURS}
            own = {**_filled({**table, **options}, words)}
            common = _filled({key: value for key, value in shared.items() if key not in own or _merges(key)}, words)
            output = own.get("output", common.get("output", name))
            unknown = _PLACE.search(output) if isinstance(output, str) else None
            if unknown:
                raise self._wrong(title, "output", f"has `{unknown[0]}`, which is neither the name nor of the matrix")
            yield ImageEntry(
                name=name,
                kind=kind,
                flavours=self._flavours(own.get(_FLAVOURS, common.get(_FLAVOURS)), title),
                tables=(
                    self._settings(own | ({} if "output" in common else {"output": output}), title, kind),
                    self._settings(common, f"[{_DEFAULTS}]", kind),
                ),
            )

    def _settings(self, table: Mapping[str, Any], title: str, kind: str) -> SettingsFile:
        options = {key: value for key, value in table.items() if key in OPTIONS[kind]}
        return SettingsFile(path=self.path, table=options, name=f"`{title}` of `{self.path}`")

    def _flavours(self, given: Any, title: str) -> tuple[str, ...]:
        if not given:
            raise self._wrong(title, _FLAVOURS, "is missing", hint='for example `flavours = ["debian", "vm"]`')
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise self._wrong(title, _FLAVOURS, 'must be a list of names, such as `["debian", "vm"]`')
        return tuple(given)

    def _matrix(self, table: Mapping[str, Any], title: str, kind: str) -> Mapping[str, Sequence[Any]]:
        matrix = self._table(table.get(_MATRIX, {}), f"{title} {_MATRIX}")
        for key, values in matrix.items():
            where = f"{_MATRIX}.{key}"
            if not isinstance(values, list) or not values:
                raise self._wrong(title, where, "must be a list of values")
            if not _PLACE.fullmatch(f"{{{key}}}") or key == "name":
                raise self._wrong(title, where, "is no name of letters, digits and dashes, or is `name`")
            if key in table:
                raise self._wrong(title, key, f"is set twice, by itself and by `{where}`")
            if key in (*RUN_WIDE, *ALONE, _KIND):
                raise self._wrong(title, where, "cannot differ between images")
            option = OPTIONS[kind].get(key)
            lists = key == _FLAVOURS or (option is not None and option.kind.repeatable)
            for value in values:
                if isinstance(value, dict) or (isinstance(value, list) and not lists):
                    raise self._wrong(title, where, "must hold texts, numbers, true or false")
        return matrix

    def _name(self, pattern: str, words: Mapping[str, str], title: str) -> str:
        name = _put(pattern, words)
        unknown = _PLACE.search(name)
        if unknown:
            raise self._wrong(
                title, "", f"has `{unknown[0]}` in its name, which is no key of its matrix", hint="add it to `matrix`"
            )
        if not _NAME.fullmatch(name):
            raise self._wrong(
                title, "", f"gives the name `{name}`", hint="a name has letters, digits, `.`, `_`, `+` and `-`"
            )
        return name

    def _check_keys(self, table: Mapping[str, Any], title: str, kind: str) -> None:
        """Refuse what is no key of the table; ``kind`` is empty for what images of all kinds share."""
        own = (_FLAVOURS, _KIND, _MATRIX) if kind else (_FLAVOURS,)
        options = OPTIONS[kind] if kind else {**OPTIONS[DISK], **OPTIONS[RAMDISK]}
        for key in table:
            if key in own or key in options:
                continue
            if key in RUN_WIDE:
                raise self._wrong(
                    title, key, "is of the run as a whole", hint=f"give it on the command line: `--{key}`"
                )
            if key in ALONE:
                raise self._wrong(title, key, "is for one image alone", hint=f"`disk-image-create --{key}` has it")
            other = next((one for one in OPTIONS if kind and key in OPTIONS[one]), "")
            if other:
                raise self._wrong(title, key, f"is an option of the kind {other}", hint=f'`kind = "{other}"` makes one')
            from difflib import get_close_matches

            near = get_close_matches(key.lower().replace("_", "-"), (*own, *options), n=1)
            raise self._wrong(
                title,
                key,
                "is no option",
                hint=f"did you mean `{near[0]}`?" if near else "`imagewright config show` lists all options",
            )

    def _table(self, value: Any, title: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(title, "", "must be a table")
        return value

    def _wrong(self, title: str, key: str, problem: str, *, hint: str = "") -> UsageError:
        subject = f"`{key}` in `{title}`" if key and title else f"`{key or title}`"
        return UsageError("images-file", f"{subject} of `{self.path}` {problem}", hint=hint)


def _merges(key: str) -> bool:
    """Whether what an image sets is added to what all of them share, instead of taking its place."""
    return any(key in options and options[key].kind is Kind.PAIRS for options in OPTIONS.values())


def _word(value: Any) -> str:
    """A value of a matrix within a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """The value with the places in its texts filled; a brace around any other word stays as it is."""
    if isinstance(value, str):
        return _put(value, words)
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if isinstance(value, dict):
        return {key: item if key == _MATRIX else _filled(item, words) for key, item in value.items()}
    return value


def _put(text: str, words: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: words.get(found[1], found[0]), text)
