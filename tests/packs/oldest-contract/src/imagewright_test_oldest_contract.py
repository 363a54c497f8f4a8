"""Everything that version 1 of the contract lets a pack say.

This module is as a vendor shipped it. It is not changed when the contract grows: as long as version 1 is supported,
it has to work as it stands. When support for version 1 ends, the next contract gets a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from imagewright.api import (
    GIB,
    MIB,
    OPERATING_SYSTEM,
    BinaryDependency,
    BuildContext,
    Call,
    CallContext,
    Command,
    Entry,
    Flavour,
    ImagewrightError,
    InitFragment,
    KernelModules,
    Layout,
    Package,
    PackageManager,
    Packages,
    Parameter,
    Partition,
    Put,
    Script,
    Size,
    Step,
    StepFailed,
    Tree,
    UdevRules,
    hookimpl,
)

LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"


def clean(context: CallContext, *, what: str) -> None:
    """What the step cleanup/50-oldest calls."""
    if context.target_root is None or context.cache is None or not context.environment:
        raise StepFailed("oldest-cleanup", "there is no tree to clean", where=(what,), cause="a test", hint="none")
    (context.target_root / what).unlink(missing_ok=True)


class Oldest(Flavour):
    """A flavour with every hook and every attribute."""

    api_version = 1
    summary = "Uses all of the first contract"
    requires = ()
    conflicts = ("oldest-rival",)
    provides = ("oldest-thing",)
    packages_wanted = ("hello",)
    parameters = (
        Parameter(name="word", type="string", default="old", help="a word", required=False, secret=False),
        Parameter(name="count", type="integer", default=3, help="a number"),
        Parameter(name="loud", type="boolean", default=False, help="a switch"),
        Parameter(name="file", type="path", help="a path"),
        Parameter(name="token", secret=True, help="a secret"),
    )
    reads = ("~/.config/oldest",)
    programs = ("true",)
    disk_space = 1 * MIB

    @hookimpl
    def block_device_size(self, ctx: BuildContext) -> Iterable[Step]:
        return [Step(id="50-oldest", action=Size(minimum=64 * MIB, maximum=8 * GIB, reason="the first contract"))]

    @hookimpl
    def extra_data(self, ctx: BuildContext) -> Iterable[Step]:
        return [Step(id="50-oldest", action=Command(argv=("true", ctx.image_name), environment={"LC_ALL": "C"}))]

    @hookimpl
    def pre_install(self, ctx: BuildContext) -> Iterable[Step]:
        yield Step(id="50-oldest", action=Command(argv=("true",)), summary="does nothing")

    @hookimpl
    def packages(self, ctx: BuildContext) -> Iterable[Step]:
        return (Step(id="50-oldest", action=Packages(names=("hello",))),)

    @hookimpl
    def install(self, ctx: BuildContext) -> Iterable[Step]:
        beside = Tree((Entry(path="note", kind="file", mode=0o644, content=b"a note\n"),))
        return (
            Step(id="40-oldest", action=Put(tree=Tree((Entry(path="etc/oldest", content=b"1\n"),)), at="/")),
            Step(
                id="50-oldest",
                action=Script(content=b'#!/bin/sh\nset -eu\ncp "$(dirname "$0")/note" "/etc/oldest-$WORD"\n', data=beside),
                after=frozenset({"40-oldest"}),
                before=frozenset({"60-absent"}),
            ),
        )

    @hookimpl
    def post_install(self, ctx: BuildContext) -> Iterable[Step]:
        return [Step(id="50-oldest", action=Command(argv=("true", ctx.arch, ctx.release, *ctx.flavours)))]

    @hookimpl
    def finalise(self, ctx: BuildContext) -> Iterable[Step]:
        return [Step(id="50-oldest", action=Command(argv=("true", str(ctx.parameters["word"]))))]

    @hookimpl
    def cleanup(self, ctx: BuildContext) -> Iterable[Step]:
        call = Call(function="imagewright_test_oldest_contract:clean", arguments={"what": "etc/oldest-junk"})
        return [Step(id="50-oldest", action=call)]

    @hookimpl
    def block_device(self, ctx: BuildContext) -> Iterable[Step]:
        root = Partition(name="root", type=LINUX, size=0, role="root", filesystem="ext4", label=ctx.root_label)
        boot = Partition(name="bios", type=BIOS_BOOT, size=1 * MIB, role="bios-boot")
        return [Step(id="50-oldest", action=Layout(partitions=(boot, root), boot_loader=""))]

    @hookimpl
    def first_boot(self, ctx: BuildContext) -> Iterable[Step]:
        return [Step(id="50-oldest", action=Script(content=b"#!/bin/sh\ntrue\n"))]

    @hookimpl
    def binary_deps(self, ctx: BuildContext) -> Iterable[BinaryDependency]:
        return [BinaryDependency(name="sfdisk", package="fdisk")]

    @hookimpl
    def init(self, ctx: BuildContext) -> Iterable[InitFragment]:
        return [InitFragment(content="true\n")]

    @hookimpl
    def udev(self, ctx: BuildContext) -> Iterable[UdevRules]:
        return [UdevRules(name="50-oldest.rules", content=b"# none\n")]

    @hookimpl
    def modules(self, ctx: BuildContext) -> Iterable[KernelModules]:
        return [KernelModules(names=("virtio_net",))]

    @hookimpl
    def files(self, ctx: BuildContext) -> Iterable[Tree]:
        return [Tree((Entry(path="etc/link", kind="link", mode=0o777, target="oldest"),))]


class OldestManager:
    """A package manager with the parts of the first contract."""

    @property
    def name(self) -> str:
        return "oldest"

    def build_files(self, environment: Mapping[str, str]) -> Tree:
        return Tree()

    def cache_folders(self) -> Mapping[str, str]:
        return {"/var/cache/oldest": "oldest"}

    def refresh(self) -> Command | None:
        return None

    def resolve(self, names: Sequence[str]) -> Command | None:
        return Command(argv=("true", *names))

    def parse_resolution(self, output: str) -> tuple[Package, ...]:
        return (Package(name="hello", version="1", architecture="amd64", digest="00"),)

    def install(self, names: Sequence[str]) -> Command | None:
        return Command(argv=("true", *names))

    def listing(self) -> Command | None:
        return None

    def parse_listing(self, output: str) -> tuple[Package, ...]:
        return ()

    def moment(self) -> Command | None:
        return None


class OldestSystem(Flavour):
    """An operating system with the hooks that only such have."""

    api_version = 1
    summary = "An operating system of the first contract"
    provides = (OPERATING_SYSTEM,)
    default_release = "one"

    @hookimpl
    def root(self, ctx: BuildContext) -> Iterable[Step]:
        if ctx.offline and ctx.mirror:
            raise ImagewrightError("oldest-offline", "a mirror is of no use offline")
        return [Step(id="10-oldest", action=Command(argv=("mkdir", "-p", "/nowhere", ctx.release)))]

    @hookimpl
    def package_manager(self, ctx: BuildContext) -> PackageManager | None:
        return OldestManager()
