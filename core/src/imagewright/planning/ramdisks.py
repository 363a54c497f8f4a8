"""From a request to the plan of a ramdisk: what the flavours give for it, and the plan of the tree it is made from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from imagewright import hosttools
from imagewright.asking import Panel
from imagewright.discovery import Loaded
from imagewright.entrypoints import Survey, survey
from imagewright.errors import PlanError, UsageError
from imagewright.flavour import OPERATING_SYSTEM
from imagewright.metadata import broken
from imagewright.plan import ChosenFlavour, digest_of
from imagewright.planning.display import plan_document
from imagewright.planning.keys import masked
from imagewright.planning.locking import check_lock, locked_now
from imagewright.planning.parameters import Secret, values_of
from imagewright.planning.prepared import Prepared
from imagewright.planning.preparing import context_of, prepare, wanted_packages
from imagewright.planning.selection import Selection, select
from imagewright.planning.steps import check_package_name
from imagewright.planning.variables import as_text
from imagewright.ramdisk.layout import MERGED, merged_path
from imagewright.request import RamdiskRequest, Request
from imagewright.types import (
    BinaryDependency,
    BuildContext,
    Entry,
    InitFragment,
    KernelModules,
    Origin,
    Phase,
    Plain,
    Tree,
    UdevRules,
)

T = TypeVar("T")

SCHEMA = 1
"""The version of the plan's document; a removed or changed key raises it."""

TREE = "ramdisk"
"""What a tree for ramdisks is called: not like the ramdisk, so that all ramdisks with the same packages share it."""

TREE_PHASES = (Phase.ROOT, Phase.PRE_INSTALL, Phase.PACKAGES)
"""What grows the tree; the phases after them make a machine of it, which it never is."""

RULES = "usr/lib/udev/rules.d"

RULES_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.rules")
MODULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*|([A-Za-z0-9_-]+/)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFragment:
    """A flavour's shell for ``/init``, with the parameters that it sees as variables."""

    flavour: str
    content: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTree:
    """The plan of a root tree for ramdisks, with the request that it comes from."""

    request: Request
    prepared: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRamdisk:
    """What goes into a ramdisk. ``files`` holds udev's rules too.

    ``tree`` is the plan of the root tree, with the request that it comes from; None if nothing comes from one.
    ``kernel_tree`` is that of the tree for the kernel alone, if it is another. ``packages`` says for each package of
    the tree who wants it. ``secrets`` may not be shown.
    """

    name: str
    flavours: tuple[ChosenFlavour, ...]
    executables: tuple[tuple[BinaryDependency, str], ...]
    modules: tuple[tuple[str, str], ...]
    fragments: tuple[PlannedFragment, ...]
    files: tuple[tuple[Entry, str], ...]
    packages: Mapping[str, tuple[str, ...]]
    operating_system: str
    tree: PlannedTree | None = None
    kernel_tree: PlannedTree | None = None
    secrets: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The key of everything that the plan says, as 64 hex digits; what the world answers is not in it."""
        return digest_of(
            [(one.name, one.package, who) for one, who in self.executables],
            self.modules,
            [(one.flavour, masked(one.content, self.secrets), one.variables) for one in self.fragments],
            [(entry.path, entry.fingerprint(), who) for entry, who in self.files],
            self.tree.prepared.plan.digest if self.tree else "",
            self.kernel_tree.prepared.plan.digest if self.kernel_tree else "",
        )


def plan_ramdisk(request: RamdiskRequest) -> PlannedRamdisk:
    """Plan a ramdisk. Raises PlanError, UsageError or ContractError for what is known to be wrong before any work."""
    image = replace(request.image, ramdisk=True, skip_base=True)
    installed = survey(image.flavour_path, image.overrides)
    selection = select(image, installed)
    names = {loaded.name for loaded in selection.flavours}
    own = tuple(setting for setting in image.settings if setting[0] in names or not request.needs_tree)
    values = values_of(selection.flavours, own, image.environment)
    context = context_of(image, selection)
    contexts = {loaded.name: replace(context, parameters=values[loaded.name]) for loaded in selection.flavours}
    panel = Panel(selection.flavours)
    given = _Given(panel, selection.flavours, contexts)
    executables = given.of("binary_deps", BinaryDependency)
    packages = _packages(image, selection, given, executables) if request.binaries_from == "tree" else {}
    tree = kernel_tree = None
    system = ""
    if request.needs_tree:
        system, release = _system(image, selection, installed)
        tree = _tree(image, system, release, packages, names, installed)
    if request.kernel_flavour and request.kernel_flavour != system:
        kernel_tree = _tree(image, request.kernel_flavour, "", {}, names, installed)
    if image.lock is not None:
        tree = _locked(image, tree, kernel_tree, context, selection)
    return PlannedRamdisk(
        name=image.output.name,
        flavours=tuple(_chosen(loaded, selection, values) for loaded in selection.flavours),
        executables=tuple((value, loaded.name) for loaded, value in executables),
        modules=_modules(given),
        fragments=tuple(
            PlannedFragment(flavour=loaded.name, content=value.content, variables=_variables(loaded, values))
            for loaded, value in given.of("init", InitFragment)
        ),
        files=_files(given),
        packages=packages,
        operating_system=system,
        tree=tree,
        kernel_tree=kernel_tree,
        secrets=_secrets(values),
    )


class _Given:
    """What the flavours answer to the hooks of ramdisks, in their order."""

    def __init__(self, panel: Panel, flavours: Sequence[Loaded], contexts: Mapping[str, BuildContext]) -> None:
        self.panel = panel
        self.flavours = flavours
        self.contexts = contexts

    def of(self, hook: str, kind: type[T]) -> list[tuple[Loaded, T]]:
        """The values of one hook, with who gave them."""
        ask = getattr(self.panel, hook)
        return [(loaded, value) for loaded in self.flavours for value in ask(loaded, self.contexts[loaded.name])]


def ramdisk_plan(planned: PlannedRamdisk) -> dict[str, Any]:
    """What the plan of a ramdisk says, as plain values that JSON can carry."""
    return {
        "schema": SCHEMA,
        "ramdisk": planned.name,
        "digest": planned.digest,
        "operating_system": planned.operating_system,
        "flavours": [
            {
                "name": one.name,
                "summary": one.summary,
                "distribution": one.origin.distribution,
                "version": one.origin.version,
                "place": one.origin.location,
                "requires": list(one.requires),
                "parameters": _values(one.values, planned.secrets),
            }
            for one in planned.flavours
        ],
        "packages": [{"name": name, "wanted_by": list(who)} for name, who in planned.packages.items()],
        "executables": [{"name": one.name, "flavour": who, "package": one.package} for one, who in planned.executables],
        "modules": [{"name": name, "flavour": who} for name, who in planned.modules],
        "files": [{"path": f"/{entry.path}", "flavour": who} for entry, who in planned.files],
        "init": [one.flavour for one in planned.fragments],
        "tree": _shown(planned.tree),
        "kernel_tree": _shown(planned.kernel_tree),
    }


def _packages(
    request: Request, selection: Selection, given: _Given, executables: Sequence[tuple[Loaded, BinaryDependency]]
) -> Mapping[str, tuple[str, ...]]:
    """What the flavours want in the tree, besides the operating system's own packages."""
    others = [loaded for loaded in selection.flavours if loaded is not selection.operating_system]
    steps = [
        (step, loaded.origin)
        for loaded in others
        for step in given.panel.steps(loaded, Phase.PACKAGES, given.contexts[loaded.name])
    ]
    wanted = dict(wanted_packages(others, steps, request.packages))
    for loaded, value in executables:
        if value.package:
            check_package_name(value.package, loaded.origin)
            wanted[value.package] = tuple(dict.fromkeys((*wanted.get(value.package, ()), loaded.name)))
    return {name: wanted[name] for name in sorted(wanted)}


def _system(request: Request, selection: Selection, installed: Survey) -> tuple[str, str]:
    """The operating system of the tree with its release: the one named, else that of this machine."""
    named = selection.operating_system
    if named is not None:
        return named.name, request.release
    if request.default_operating_system:
        return request.default_operating_system, request.release
    like = hosttools.distribution()
    for name in like:
        if installed.named(name):
            return name, request.release or (hosttools.release() if name == like[0] else "")
    raise PlanError(
        "no-operating-system",
        "no operating system is named for the tree that the ramdisk is made from, and none is installed for this host",
        cause=f"this host is {' or '.join(like) or 'of no known distribution'}; "
        f"installed flavours: {', '.join(installed.names) or 'none'}",
        hint="name one, such as `debian`, or take everything from this machine: --binaries-from host -m /",
    )


def _tree(
    request: Request,
    system: str,
    release: str,
    packages: Mapping[str, tuple[str, ...]],
    names: frozenset[str] | set[str],
    installed: Survey,
) -> PlannedTree:
    """The plan of a tree. Nothing of the ramdisk itself is in it, so that ramdisks with the same packages share it."""
    wanted = replace(
        request,
        flavours=(system,),
        output=request.output.with_name(TREE),
        types=(),
        packages=tuple(packages),
        release=release,
        settings=tuple(one for one in request.settings if one[0] == system or one[0] not in names),
        kernel_arguments="",
        image_size=None,
    )
    selection = select(wanted, installed)
    if selection.operating_system is None:
        raise PlanError(
            "no-operating-system",
            f"`{system}` is no operating system, and the ramdisk needs the root tree of one",
            cause=f"that flavour does not provide `{OPERATING_SYSTEM}`",
            hint="imagewright flavours list shows which are (`os`)",
        )
    prepared = prepare(wanted, selection=selection)
    steps = tuple(step for step in prepared.plan.steps if step.phase in TREE_PHASES)
    return PlannedTree(request=wanted, prepared=replace(prepared, plan=replace(prepared.plan, steps=steps)))


def _locked(
    request: Request,
    tree: PlannedTree | None,
    kernel_tree: PlannedTree | None,
    context: BuildContext,
    selection: Selection,
) -> PlannedTree:
    """The tree with the ramdisk's own flavours in its lock. Raises UsageError where there is no one tree to lock."""
    if tree is None or kernel_tree is not None or tree.prepared.locked_now is None:
        raise UsageError(
            "nothing-to-lock",
            f"`--lock {request.lock}` needs a ramdisk that is made from one root tree",
            cause="this one takes its kernel from another tree" if tree else "this one is of this machine's own files",
            hint="leave out --lock, or take executables and kernel from one operating system",
            option="lock",
        )
    now = tree.prepared.locked_now
    own = locked_now(context, selection.flavours)
    now = replace(now, flavours={**own.flavours, **now.flavours})
    check_lock(tree.prepared.lock, now, request.lock)
    return replace(tree, prepared=replace(tree.prepared, locked_now=now))


def _chosen(loaded: Loaded, selection: Selection, values: Mapping[str, Mapping[str, Plain]]) -> ChosenFlavour:
    return ChosenFlavour(
        origin=loaded.origin,
        summary=loaded.metadata.summary,
        requires=selection.requirements[loaded.name],
        provides=loaded.metadata.provides,
        parameters=loaded.metadata.parameters,
        values=tuple(values[loaded.name].items()),
        reads=loaded.metadata.reads,
        allows=loaded.metadata.allows,
    )


def _variables(loaded: Loaded, values: Mapping[str, Mapping[str, Plain]]) -> dict[str, str]:
    """The parameters as shell variables; secrets stay out of what everybody who has the ramdisk can read."""
    found: dict[str, str] = {}
    for parameter in loaded.metadata.parameters:
        if not parameter.secret:
            text = as_text(values[loaded.name][parameter.name])
            found[f"{loaded.name}_{parameter.name}".upper().replace("-", "_")] = text
            found[parameter.variable] = text
    return found


def _modules(given: _Given) -> tuple[tuple[str, str], ...]:
    named = []
    for loaded, value in given.of("modules", KernelModules):
        for name in value.names:
            if MODULE_NAME.fullmatch(name) is None:
                raise broken(
                    loaded.origin,
                    "bad-module-name",
                    f"flavour `{loaded.name}` asks for a kernel module with an impossible name: {name!r}",
                    hint="name modules, or folders of the kernel such as drivers/net/ethernet/",
                )
            named.append((name, loaded.name))
    return tuple(named)


def _files(given: _Given) -> tuple[tuple[Entry, str], ...]:
    """The files of all flavours, udev's rules among them, sorted by path."""
    files: dict[str, tuple[Entry, Origin]] = {}
    for loaded, tree in given.of("files", Tree):
        for entry in tree.entries:
            parts = entry.path.split("/")
            if not entry.path or any(part in {"", ".", ".."} for part in parts):
                raise broken(
                    loaded.origin,
                    "bad-path",
                    f"flavour `{loaded.name}` has a file of the ramdisk at `{entry.path}`, which is no relative path",
                )
            _add(files, entry, loaded.origin)
    for loaded, rules in given.of("udev", UdevRules):
        if RULES_NAME.fullmatch(rules.name) is None:
            raise broken(
                loaded.origin,
                "bad-udev-name",
                f"flavour `{loaded.name}` has udev rules called {rules.name!r}",
                hint="a name such as 80-adapter.rules: udev reads no other",
            )
        _add(files, Entry(path=f"{RULES}/{rules.name}", content=rules.content), loaded.origin)
    if "init" in files:
        raise broken(
            files["init"][1],
            "init-given",
            f"flavour `{files['init'][1].flavour}` brings a file `/init` of its own",
            hint="give a fragment: the hook `init`, or the file `init` beside the folder `files`",
        )
    return tuple((files[path][0], files[path][1].flavour) for path in sorted(files))


def _add(files: dict[str, tuple[Entry, Origin]], entry: Entry, origin: Origin) -> None:
    # /lib/udev and /usr/lib/udev are one place in a ramdisk
    path = merged_path(entry.path)
    if path in MERGED:
        if entry.kind != "folder":
            raise broken(
                origin,
                "file-over-folder",
                f"flavour `{origin.flavour}` has a {entry.kind} at `/{path}`, where a ramdisk has a folder",
                hint=f"lay files into it: `files/usr/{path}/`",
            )
        path = f"usr/{path}"
    entry = replace(entry, path=path)
    there = files.get(path)
    if there is not None and there[0].fingerprint() != entry.fingerprint():
        raise PlanError(
            "same-file-twice",
            f"flavours `{there[1].flavour}` and `{origin.flavour}` both have a file `{path}` of the ramdisk, "
            "and the two differ",
            where=(str(there[1]), str(origin)),
            hint="give one of them another name",
        )
    files[path] = (entry, origin)


def _secrets(values: Mapping[str, Mapping[str, Plain]]) -> tuple[str, ...]:
    found = {str.__str__(one) for given in values.values() for one in given.values() if isinstance(one, Secret) and one}
    return tuple(sorted(found, key=lambda one: (-len(one), one)))


def _shown(tree: PlannedTree | None) -> dict[str, Any] | None:
    return plan_document(tree.prepared) if tree is not None else None


def _values(values: Sequence[tuple[str, Any]], secrets: Sequence[str]) -> dict[str, Any]:
    return {name: "***" if isinstance(value, str) and value in secrets else value for name, value in values}
