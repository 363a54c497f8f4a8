"""What rules look at: a flavour or a pack, read so leniently that every fault of it can be named at once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagewright.asking import Panel
from imagewright.checking.shell import SHELLS, Reading, read_script
from imagewright.discovery import Loaded, load
from imagewright.documents import parse_toml
from imagewright.entrypoints import Found
from imagewright.errors import ImagewrightError
from imagewright.flavour import OPERATING_SYSTEM, Flavour
from imagewright.metadata import Metadata
from imagewright.scripts import NUMBERED, STEP_ID
from imagewright.types import BuildContext, Entry, Parameter, Phase, Script

FRAGMENT = "init"
"""The file whose shell becomes part of ``/init`` of a ramdisk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSubject:
    """A script of a flavour; ``phase`` is None for a piece of ``/init``. ``path`` is None for one made by Python."""

    file: str
    phase: Phase | None
    content: bytes
    path: Path | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)  # data files of its folder, by path
    reading: Reading = field(default_factory=Reading)

    @property
    def text(self) -> str:
        """The content as text; what is no UTF-8 is replaced."""
        return self.content.decode(errors="replace")

    @property
    def interpreter(self) -> str:
        """The name of the program of the first line, such as ``sh``; empty if it names none."""
        return interpreter_of(self.content)

    @property
    def is_shell(self) -> bool:
        """Whether it is a shell script."""
        return self.phase is None or self.interpreter in SHELLS


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavourSubject:
    """A flavour. ``folder`` is that of a directory flavour or of a class; ``failure`` is why it does not load.

    ``toml`` is None if there is no readable ``flavour.toml``.
    """

    name: str
    shown: str  # the folder or the distribution, as findings name it
    folder: Path | None = None
    python: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    toml: Mapping[str, Any] | None = None
    has_readme: bool = False
    names_contract: bool = True  # of a class: whether it says for which version it is written
    scripts: tuple[ScriptSubject, ...] = ()
    failure: ImagewrightError | None = None

    @property
    def operating_system(self) -> bool:
        """Whether it gives the root tree."""
        return OPERATING_SYSTEM in self.metadata.provides

    def files(self) -> Iterator[tuple[str, Path]]:
        """All files of its folder, with their path in it, sorted."""
        if self.folder is not None:
            for top, folders, names in os.walk(self.folder):
                folders.sort()
                for name in sorted(names):
                    path = Path(top, name)
                    yield str(path.relative_to(self.folder)), path

    def phase_folders(self) -> Iterator[tuple[Phase, Path]]:
        """Its phase folders, in the order of the phases."""
        if self.folder is not None:
            for phase in Phase:
                if (self.folder / phase.folder).is_dir():
                    yield phase, self.folder / phase.folder


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSubject:
    """The source project of a flavour pack."""

    folder: Path
    project: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the distribution."""
        return str(self.project.get("name", self.folder.name))


def interpreter_of(content: bytes) -> str:
    """The name of the program that a script's first line asks for, ``env`` looked through."""
    first = content.split(b"\n", 1)[0].decode(errors="replace")
    if not first.startswith("#!"):
        return ""
    words = [word for word in first[2:].split() if not word.startswith("-")]
    if len(words) > 1 and words[0].rpartition("/")[2] == "env":
        words = words[1:]
    return words[0].rpartition("/")[2] if words else ""


def read_flavour(found: Found, shown: str) -> FlavourSubject:
    """Load a flavour that was named and read all that it has; never fails for a fault of the flavour."""
    loaded, failure = None, None
    try:
        loaded = load(found)
    except ImagewrightError as error:
        failure = error
    folder = found.folder or (_folder_of(loaded) if loaded else None)
    toml = _toml(folder / "flavour.toml") if folder is not None else None
    metadata = loaded.metadata if loaded is not None else _metadata(toml or {})
    scripts = [*_scripts(folder)] if folder is not None else []
    if loaded is not None and found.kind == "python":
        made, refused = _made_scripts(loaded)
        scripts += made
        failure = failure or refused
    readme = folder is not None and _has_text(folder / "README.md")
    if loaded is not None and found.kind == "python":
        readme = readme or _has_own_words(loaded.parts[0])
    return FlavourSubject(
        name=found.name,
        shown=shown,
        folder=folder,
        python=found.kind == "python",
        metadata=metadata,
        toml=toml,
        has_readme=readme,
        names_contract=loaded is None or found.kind != "python" or _names_contract(loaded.parts[0]),
        scripts=tuple(scripts),
        failure=failure,
    )


def _folder_of(loaded: Loaded) -> Path | None:
    folders = [part.folder for part in loaded.parts if part.folder is not None]
    return folders[0] if folders else None


def _has_own_words(flavour: Flavour) -> bool:
    return bool((type(flavour).__doc__ or "").strip()) and bool(inspect.getdoc(type(flavour)))


def _names_contract(flavour: Flavour) -> bool:
    own = [one for one in type(flavour).__mro__ if one is not Flavour and issubclass(one, Flavour)]
    return any("api_version" in vars(one) for one in own)


def _has_text(path: Path) -> bool:
    try:
        return bool(path.read_text(encoding="utf-8", errors="replace").strip())
    except OSError:
        return False


def content(path: Path) -> bytes:
    """The bytes of a file; none if it may not be read."""
    return path.read_bytes() if os.access(path, os.R_OK) else b""


def _toml(path: Path) -> dict[str, Any] | None:
    try:
        return parse_toml(path.read_bytes())
    except (OSError, ValueError):
        return None


def _metadata(toml: Mapping[str, Any]) -> Metadata:
    """What a flavour.toml says, as far as it makes sense: for a flavour that does not load for another reason."""

    def words(key: str) -> tuple[str, ...]:
        value = toml.get(key)
        return tuple(str(word) for word in value) if isinstance(value, list) else ()

    declared = toml.get("parameters")
    return Metadata(
        summary=str(toml.get("summary", "")),
        provides=words("provides"),
        packages=words("packages"),
        reads=words("reads"),
        allows=words("allows"),
        parameters=tuple(
            Parameter(
                name=name,
                default=given.get("default"),
                help=str(given.get("help", "")),
                required=given.get("required") is True,
                secret=given.get("secret") is True,
            )
            for name, given in (declared.items() if isinstance(declared, dict) else ())
            if isinstance(given, dict)
        ),
    )


def _scripts(folder: Path) -> Iterator[ScriptSubject]:
    """Everything in phase folders that runs or was meant to, and the fragment of ``/init``."""
    for phase in Phase:
        place = folder / phase.folder
        if not place.is_dir():
            continue
        files = [path for path in sorted(place.rglob("*")) if path.is_file()]
        direct = [path for path in files if path.parent == place]
        running = [path for path in direct if NUMBERED.match(path.name) or _named_to_run(path)]
        beside = {str(path.relative_to(place)): _bytes(path) for path in files if path not in running}
        for path in running:
            yield _script(f"{phase.folder}/{path.name}", phase, _bytes(path), path, beside)
    fragment = folder / FRAGMENT
    if fragment.is_file():
        yield _script(FRAGMENT, None, _bytes(fragment), fragment, {})


def _named_to_run(path: Path) -> bool:
    return os.access(path, os.X_OK) and STEP_ID.fullmatch(path.name) is not None


def _script(
    file: str, phase: Phase | None, content: bytes, path: Path | None, beside: Mapping[str, bytes]
) -> ScriptSubject:
    shell = phase is None or interpreter_of(content) in SHELLS
    reading = read_script(content.decode(errors="replace")) if shell else Reading()
    return ScriptSubject(file=file, phase=phase, content=content, path=path, beside=beside, reading=reading)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _made_scripts(loaded: Loaded) -> tuple[list[ScriptSubject], ImagewrightError | None]:
    """The scripts that hooks return when they are asked with default parameters."""
    scripts: list[ScriptSubject] = []
    failure: ImagewrightError | None = None
    try:
        panel = Panel([loaded])
    except ImagewrightError as error:
        return [], error
    ctx = context_of(loaded)
    required = any(parameter.required for parameter in loaded.metadata.parameters)
    for phase in Phase:
        try:
            steps = panel.steps(loaded, phase, ctx)
        except ImagewrightError as error:
            # a hook may well insist on a parameter that has no default
            failure = failure or (None if required else error)
            continue
        for step in steps:
            action = step.action
            if isinstance(action, Script) and action.source is None:
                beside = {entry.path: _content(entry) for entry in action.data.entries if entry.kind == "file"}
                scripts.append(_script(f"{phase.folder}/{step.id}", phase, action.content, None, beside))
    return scripts, failure


def _content(entry: Entry) -> bytes:
    try:
        return entry.read()
    except OSError:
        return b""


def context_of(loaded: Loaded) -> BuildContext:
    """The context of a build with the flavour alone and its default parameters."""
    return BuildContext(
        arch="amd64",
        release=loaded.default_release,
        operating_system=loaded.name if OPERATING_SYSTEM in loaded.metadata.provides else "",
        flavours=(loaded.name,),
        image_name="image",
        parameters={parameter.name: parameter.default for parameter in loaded.metadata.parameters},
    )
