"""Directory flavours: a folder of scripts becomes a flavour with the same powers as a Python class.

Known in the folder: ``PHASE.d/`` (executables ``NN-name``, data beside them), ``flavour.toml``, ``README.md``,
``static/`` (a tree that the step ``install/00-static-FLAVOUR`` copies into the image), and for ramdisks
``binary-deps``, ``init``, ``udev/*.rules``, ``modules``, ``files/``. Everything else is left alone, except a ``*.d``
folder that is no phase: that is a spelling mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from imagewright.flavour import OPERATING_SYSTEM, Flavour
from imagewright.flavourtoml import KEEP, Edges, FlavourToml, read_flavour_toml
from imagewright.hookspecs import hookimpl
from imagewright.metadata import broken
from imagewright.scripts import PhaseFolder, read, read_phase_folder, read_tree, unreadable
from imagewright.types import (
    BinaryDependency,
    BuildContext,
    Entry,
    InitFragment,
    KernelModules,
    Origin,
    Phase,
    Put,
    Repository,
    Step,
    Tree,
    UdevRules,
)

_FILES = ("binary-deps", "flavour.toml", "init", "modules")
_FOLDERS = ("files", "static", "udev", *(phase.folder for phase in Phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavourFolder:
    """Everything that a flavour's folder holds."""

    path: Path
    origin: Origin
    toml: FlavourToml = field(default_factory=FlavourToml)
    phases: Mapping[Phase, PhaseFolder] = field(default_factory=dict)
    static: Tree | None = None
    binary_deps: tuple[str, ...] = ()
    init: str = ""
    udev: tuple[UdevRules, ...] = ()
    modules: tuple[str, ...] = ()
    files: Tree | None = None

    @property
    def hooks(self) -> Tree:
        """The phase folders as they lie in the merged tree at ``/tmp/in_target.d``."""
        entries: dict[str, Entry] = {}
        for phase, content in self.phases.items():
            entries[phase.folder] = Entry(path=phase.folder, kind="folder", mode=0o755)
            for name, script in content.scripts:
                path = f"{phase.folder}/{name}"
                entries[path] = Entry(path=path, mode=0o755, content=script.content)
            for entry in content.data.entries:
                path = f"{phase.folder}/{entry.path}"
                entries[path] = moved(entry, path)
        return Tree(tuple(entries[path] for path in sorted(entries)))


def moved(entry: Entry, path: str) -> Entry:
    """The same entry at another path."""
    return Entry(
        path=path, kind=entry.kind, mode=entry.mode, content=entry.content, source=entry.source, target=entry.target
    )


def read_flavour_folder(folder: Path, origin: Origin) -> FlavourFolder:
    """Read a directory flavour. Raises ContractError for everything in it that could not work as it stands."""
    if not folder.is_dir():
        raise broken(origin, "flavour-folder-missing", f"the folder `{folder}` of `{origin.flavour}` does not exist")
    _check_kinds(folder, origin)
    toml = read_flavour_toml(folder / "flavour.toml", origin)
    phases: dict[Phase, PhaseFolder] = {}
    for path in _phase_folders(folder, origin):
        phase = Phase(path.name.removesuffix(".d"))
        if phase is Phase.PACKAGES:
            raise broken(
                origin,
                "no-packages-folder",
                f"flavour `{origin.flavour}` has a folder `packages.d`, and that phase runs no scripts",
                hint='name the packages in flavour.toml: packages = ["NAME"]',
            )
        phases[phase] = read_phase_folder(path, origin)
    _check_named_steps(toml, phases, origin)
    return FlavourFolder(
        path=folder,
        origin=origin,
        toml=toml,
        phases={phase: phases[phase] for phase in Phase if phase in phases},
        static=_tree(folder / "static", origin),
        binary_deps=tuple(_text(folder / "binary-deps", origin).split()),
        init=_text(folder / "init", origin),
        udev=tuple(_udev(folder / "udev", origin)),
        modules=_module_names(_text(folder / "modules", origin)),
        files=_tree(folder / "files", origin),
    )


def check_root(folder: FlavourFolder, provides: Iterable[str]) -> None:
    """Raise ContractError for a ``root.d`` in a flavour that is no operating system."""
    if Phase.ROOT in folder.phases and OPERATING_SYSTEM not in provides:
        raise broken(
            folder.origin,
            "root-without-operating-system",
            f"flavour `{folder.origin.flavour}` has a folder `root.d` and is no operating system",
            cause="only the operating-system flavour makes the root tree",
            hint=f'if it is one, say so in flavour.toml: provides = ["{OPERATING_SYSTEM}"]',
        )


class DirectoryFlavour(Flavour):
    """A flavour whose steps are the files of a folder; made by :func:`directory_flavour`."""

    def __init__(self, contents: FlavourFolder) -> None:
        self.contents = contents

    def _steps(self, phase: Phase) -> tuple[Step, ...]:
        contents = self.contents.phases.get(phase, PhaseFolder())
        edges = self.contents.toml.edges
        return tuple(
            Step(
                id=name,
                action=script,
                before=edges.get((phase, name), Edges()).before,
                after=edges.get((phase, name), Edges()).after,
                keep=KEEP if (phase, name) in self.contents.toml.kept else "",
            )
            for name, script in contents.scripts
        )

    @hookimpl
    def block_device_size(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``block-device-size.d``."""
        return self._steps(Phase.BLOCK_DEVICE_SIZE)

    @hookimpl
    def extra_data(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``extra-data.d``."""
        return self._steps(Phase.EXTRA_DATA)

    @hookimpl
    def root(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``root.d``."""
        return self._steps(Phase.ROOT)

    @hookimpl
    def pre_install(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``pre-install.d``."""
        return self._steps(Phase.PRE_INSTALL)

    @hookimpl
    def install(self, ctx: BuildContext) -> Iterable[Step]:
        """The tree ``static`` before the scripts of ``install.d``."""
        steps = self._steps(Phase.INSTALL)
        if self.contents.static is None:
            return steps
        name = static_id(self.contents.origin.flavour)
        return (Step(id=name, action=Put(tree=self.contents.static), summary="copies static/ into the image"), *steps)

    @hookimpl
    def post_install(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``post-install.d``."""
        return self._steps(Phase.POST_INSTALL)

    @hookimpl
    def finalise(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``finalise.d``."""
        return self._steps(Phase.FINALISE)

    @hookimpl
    def cleanup(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``cleanup.d``."""
        return self._steps(Phase.CLEANUP)

    @hookimpl
    def block_device(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``block-device.d``."""
        return self._steps(Phase.BLOCK_DEVICE)

    @hookimpl
    def first_boot(self, ctx: BuildContext) -> Iterable[Step]:
        """The scripts of ``first-boot.d``."""
        return self._steps(Phase.FIRST_BOOT)

    @hookimpl
    def repositories(self, ctx: BuildContext) -> Iterable[Repository]:
        """The tables ``repositories`` of ``flavour.toml``, with their logins."""
        return tuple(one.with_login(ctx.parameters) for one in self.contents.toml.repositories)

    @hookimpl
    def binary_deps(self, ctx: BuildContext) -> Iterable[BinaryDependency]:
        """The names in ``binary-deps``, separated by white space."""
        return tuple(BinaryDependency(name=name) for name in self.contents.binary_deps)

    @hookimpl
    def init(self, ctx: BuildContext) -> Iterable[InitFragment]:
        """The file ``init``."""
        return (InitFragment(content=self.contents.init),) if self.contents.init else ()

    @hookimpl
    def udev(self, ctx: BuildContext) -> Iterable[UdevRules]:
        """The rules of the folder ``udev``."""
        return self.contents.udev

    @hookimpl
    def modules(self, ctx: BuildContext) -> Iterable[KernelModules]:
        """The names in ``modules``."""
        return (KernelModules(names=self.contents.modules),) if self.contents.modules else ()

    @hookimpl
    def files(self, ctx: BuildContext) -> Iterable[Tree]:
        """The tree ``files``."""
        return (self.contents.files,) if self.contents.files is not None else ()


def directory_flavour(contents: FlavourFolder) -> DirectoryFlavour:
    """Make the flavour of a folder; its class carries the metadata of ``flavour.toml``."""
    metadata = contents.toml.metadata
    made: type[DirectoryFlavour] = type(
        DirectoryFlavour.__name__,
        (DirectoryFlavour,),
        {
            "__doc__": f"The flavour of the folder {contents.path}.",
            "summary": metadata.summary,
            "requires": metadata.requires,
            "conflicts": metadata.conflicts,
            "provides": metadata.provides,
            "packages_wanted": metadata.packages,
            "parameters": metadata.parameters,
            "reads": metadata.reads,
            "allows": metadata.allows,
        },
    )
    return made(contents)


def static_id(flavour: str) -> str:
    """The id of the step that copies ``static/``; it carries the flavour's name, as ids are unique in a phase."""
    return f"00-static-{flavour.replace('_', '-')}"


def _phase_folders(folder: Path, origin: Origin) -> list[Path]:
    names = [phase.folder for phase in Phase]
    try:
        candidates = sorted(path for path in folder.iterdir() if path.name.endswith(".d") and path.is_dir())
    except OSError as error:
        raise unreadable(folder, origin, error) from error
    for path in candidates:
        if path.name not in names:
            near = get_close_matches(path.name.replace("_", "-"), names, n=1, cutoff=0.5)
            raise broken(
                origin,
                "unknown-phase-folder",
                f"flavour `{origin.flavour}` has a folder `{path.name}`, which is no hook phase",
                hint=f"did you mean `{near[0]}`?" if near else f"the phases: {', '.join(names)}",
            )
    return candidates


def _check_kinds(folder: Path, origin: Origin) -> None:
    """Refuse a folder where a file is read, and the other way round: either would be passed over."""
    for names, wanted, wrong in ((_FILES, "file", Path.is_dir), (_FOLDERS, "folder", Path.is_file)):
        for name in names:
            if wrong(folder / name):
                raise broken(
                    origin,
                    "wrong-kind",
                    f"`{name}` of flavour `{origin.flavour}` must be a {wanted}",
                    cause="as it is, nothing would read it",
                )


def _check_named_steps(toml: FlavourToml, phases: Mapping[Phase, PhaseFolder], origin: Origin) -> None:
    for phase, step in toml.edges:
        if (hint := _lacks(phases, phase, step)) is not None:
            raise broken(
                origin,
                "edge-of-unknown-step",
                f"`flavour.toml` of flavour `{origin.flavour}` has edges of `{phase}/{step}`, which it lacks",
                hint=hint,
            )
    for phase, step in sorted(toml.kept):
        if (hint := _lacks(phases, phase, step)) is not None:
            raise broken(
                origin,
                "keep-of-unknown-step",
                f"`flavour.toml` of flavour `{origin.flavour}` has a table for `{phase}/{step}`, which it lacks",
                hint=hint,
            )


def _lacks(phases: Mapping[Phase, PhaseFolder], phase: Phase, step: str) -> str | None:
    """A hint at the nearest script where a folder lacks one; None where it has it."""
    known = [name for name, _ in phases.get(phase, PhaseFolder()).scripts]
    if step in known:
        return None
    near = get_close_matches(step, known, n=1)
    return f"did you mean `{near[0]}`?" if near else ""


def _tree(folder: Path, origin: Origin) -> Tree | None:
    return read_tree(folder, origin) if folder.is_dir() else None


def _text(path: Path, origin: Origin) -> str:
    if not path.is_file():
        return ""
    try:
        return read(path, origin).decode()
    except UnicodeDecodeError as error:
        raise broken(
            origin, "not-text", f"`{path.name}` of flavour `{origin.flavour}` is not UTF-8", cause=str(error)
        ) from error


def _module_names(text: str) -> tuple[str, ...]:
    return tuple(word for line in text.splitlines() for word in line.partition("#")[0].split())


def _udev(folder: Path, origin: Origin) -> Iterable[UdevRules]:
    if folder.is_dir():
        for path in sorted(folder.glob("*.rules")):
            yield UdevRules(name=path.name, content=read(path, origin))
