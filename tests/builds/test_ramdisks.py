"""Ramdisks on the toy operating system: what is in them, whence it comes, what is said when something is missing."""

from __future__ import annotations

import os
import re
import stat
import tarfile
import time
from pathlib import Path

import pytest
from imagewright.errors import ContractError, ImagewrightError, PlanError, StepFailed
from imagewright.events import Notice
from imagewright.reading.errors import ImageUnreadable
from imagewright.testing.kit import ImageKit
from imagewright.testing.ramdisks import make_ramdisk

KERNEL = "1.0-toy"


def test_a_ramdisk_holds_busybox_a_kernel_and_an_init_of_start_fragments_and_end(image_kit: ImageKit) -> None:
    image_kit.flavour("second", {"flavour.toml": 'requires = ["first"]\n', "init": "echo second\n"})
    image_kit.flavour("first", {"flavour.toml": "", "init": "echo first\n"})
    built = make_ramdisk(image_kit, "second")
    assert [path.name for path in sorted(image_kit.output.iterdir())] == [
        "test.kernel",
        "test.manifest.json",
        "test.ramdisk",
        "test.sha256",
    ]
    assert built.kernel.read_text() == "a kernel, were this not a toy\n"
    init = built.nodes["init"]
    assert init.mode == stat.S_IFREG | 0o755
    lines = init.content.decode().splitlines()
    assert lines[:2] == ["#!/bin/sh", "INIT_TIMEOUT=300"]
    first, second = (lines.index(f"echo {word}") for word in ("first", "second"))
    assert lines[first - 1] == f"fragment first {first}"
    assert lines[second - 1] == f"fragment second {second}"
    assert lines.index("find_disk() (") < lines.index("set -e") < first < second < lines.index('report "done"')
    assert built.nodes["usr/bin/sh"].target == "/usr/bin/busybox"
    assert built.nodes["usr/bin/busybox"].content.startswith(b"\x7fELF")
    assert built.nodes["dev/console"].device == (5, 1)
    assert {(node.uid, node.gid, node.moment) for node in built.nodes.values()} == {(0, 0, 1_700_000_000)}


def test_two_ramdisks_of_one_plan_are_the_same_bytes_whatever_the_caller_is_like(
    image_kit: ImageKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_kit.flavour(
        "mixed", {"init": "echo probe\n", "binary-deps": "hello", "flavour.toml": 'packages = ["hello"]\n'}
    )
    image_kit.flavour("mixed", {"files/etc/settings": "one\n", "udev/50-probe.rules": "# none\n"})
    first = make_ramdisk(image_kit, "mixed", output="first.ramdisk")
    before = os.umask(0o077)
    try:
        monkeypatch.chdir(tmp_path)
        time.sleep(1.1)
        second = make_ramdisk(image_kit, "mixed", output="second")
    finally:
        os.umask(before)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert second.kernel.name == "second.kernel"
    assert stat.S_IMODE(second.path.stat().st_mode) == 0o600


def test_ramdisks_with_the_same_packages_are_made_from_one_tree(image_kit: ImageKit) -> None:
    image_kit.flavour("one", {"init": "echo one\n", "flavour.toml": 'packages = ["hello"]\n'})
    image_kit.flavour("two", {"files/etc/two": "2\n", "flavour.toml": 'packages = ["hello"]\n'})
    image_kit.flavour("three", {"flavour.toml": 'packages = ["mail"]\n'})
    digests = [
        make_ramdisk(image_kit, name, output=f"{name}.ramdisk").manifest["plan"]["tree"]["digest"]
        for name in ("one", "two", "three")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_an_executable_of_a_package_comes_from_the_tree_and_its_interpreter_is_busybox(image_kit: ImageKit) -> None:
    image_kit.flavour("greets", {"binary-deps": "hello\n", "flavour.toml": 'packages = ["hello"]\n'})
    built = make_ramdisk(image_kit, "greets")
    assert built.read("usr/bin/hello").startswith("#!/bin/sh")
    entry = next(one for one in built.manifest["executables"] if one["path"] == "/usr/bin/hello")
    assert entry == {"path": "/usr/bin/hello", "from": "tree", "asked_by": ["greets"]}
    assert built.nodes["usr/bin/sh"].target == "/usr/bin/busybox"
    assert {"name": "hello", "version": "2.0", "architecture": ""} in built.manifest["packages"]


def test_what_busybox_provides_needs_no_binary(image_kit: ImageKit) -> None:
    image_kit.flavour("plain", {"binary-deps": "wget sed\n"})
    built = make_ramdisk(image_kit, "plain")
    assert built.nodes["usr/bin/wget"].target == "/usr/bin/busybox"
    assert not [event for event in built.events if isinstance(event, Notice) and "own" in event.message]


def test_an_executable_that_the_tree_lacks_is_the_callers_with_its_libraries(
    image_kit: ImageKit, tmp_path: Path
) -> None:
    (tmp_path / "programs").mkdir()
    program = tmp_path / "programs" / "probe-of-mine"
    program.write_bytes(Path("/usr/bin/env").read_bytes())
    program.chmod(0o755)
    image_kit.flavour("mine", {"binary-deps": "probe-of-mine\n"})
    path = f"{program.parent}:{os.environ['PATH']}"
    built = make_ramdisk(image_kit, "mine", environment={"PATH": path})
    held = {one["path"]: one for one in built.manifest["executables"]}
    assert held[str(program)] == {"path": str(program), "from": "host", "asked_by": ["mine"]}
    assert built.nodes[str(program).lstrip("/")].content == program.read_bytes()
    libc = next(path for path in held if path.endswith("/libc.so.6"))
    assert held[libc]["from"] == "host"
    assert [event.message for event in built.events if isinstance(event, Notice) and "own" in event.message] == [
        f"{program} is this machine's own, since the root tree has none"
    ]


@pytest.mark.parametrize(("name", "package"), [("lldpd", "lldpd"), ("no-such-thing", "")])
def test_a_missing_executable_names_who_asks_and_what_would_bring_it(
    image_kit: ImageKit, name: str, package: str
) -> None:
    image_kit.flavour("wants", {"binary-deps": f"{name}\n"})
    (image_kit.output / "test.ramdisk").write_text("the earlier one\n")
    with pytest.raises(StepFailed) as caught:
        make_ramdisk(image_kit, "wants", environment={"PATH": "/nowhere"})
    assert caught.value.message == f"the executable {name} is missing; it is asked for by wants"
    assert (f"the package {package} brings it" if package else "name the package") in caught.value.hint
    assert (image_kit.output / "test.ramdisk").read_text() == "the earlier one\n"
    assert [path.name for path in image_kit.output.iterdir()] == ["test.ramdisk"]
    assert not list(image_kit.work.iterdir())


def test_a_missing_executable_names_everybody_who_asks(image_kit: ImageKit) -> None:
    image_kit.flavour("one", {"binary-deps": "no-such-thing\n"})
    image_kit.flavour("two", {"binary-deps": "no-such-thing\n"})
    with pytest.raises(StepFailed, match="no-such-thing is missing; it is asked for by one, two"):
        make_ramdisk(image_kit, "one", "two")


def test_a_fragment_that_is_no_shell_is_refused_before_the_work(image_kit: ImageKit) -> None:
    image_kit.flavour("torn", {"init": "if true; then\n"})
    with pytest.raises(ContractError, match="what flavour `torn` gives for /init is no shell") as caught:
        make_ramdisk(image_kit, "torn")
    assert "2: Syntax error" in caught.value.cause
    assert not image_kit.output.exists() or not list(image_kit.output.iterdir())


def test_a_kernel_that_is_a_link_to_nowhere_is_missing(image_kit: ImageKit, tmp_path: Path) -> None:
    root = kernel_root(tmp_path / "root", "9.9-mine")
    image_kit.flavour("plain", {"init": "true\n"})
    kernel = root / "boot" / "vmlinuz-9.9-mine"
    kernel.unlink()
    kernel.symlink_to("vmlinuz-gone")
    with pytest.raises(StepFailed, match=r"there is no kernel 9\.9-mine"):
        make_ramdisk(image_kit, "plain", operating_system="", module_root=root, binaries_from="host")
    assert not list(image_kit.work.iterdir())


def test_modules_come_with_who_asked_and_a_missing_one_says_so(image_kit: ImageKit) -> None:
    image_kit.flavour("good", {"modules": "toy  # a comment\n"})
    built = make_ramdisk(image_kit, "good")
    assert f"usr/lib/modules/{KERNEL}/kernel/toy.ko" in built.nodes
    assert built.manifest["kernel"]["modules"] == {"kernel/toy.ko": ["good"]}
    image_kit.flavour("bad", {"modules": "mlx9_core\n"})
    with pytest.raises(StepFailed, match=f"the kernel {KERNEL} has no module mlx9_core") as caught:
        make_ramdisk(image_kit, "bad")
    assert "mlx9_core: asked for by bad" in caught.value.where


def test_files_of_flavours_are_laid_over_and_two_that_differ_are_refused(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "lays",
        {
            "files/lib/firmware/probe.bin": b"\x01",
            "files/usr/bin/wget": ("#!/bin/sh\n", 0o755),
            "files/etc/passwd": "probe\n",
            "udev/80-probe.rules": "# a rule\n",
        },
    )
    built = make_ramdisk(image_kit, "lays")
    assert built.nodes["usr/lib/firmware/probe.bin"].content == b"\x01"
    # whence the kernel takes firmware and modprobe modules
    assert built.nodes["lib"].target == "usr/lib"
    assert built.read("usr/bin/wget") == "#!/bin/sh\n"
    assert built.read("etc/passwd") == "probe\n"
    assert built.read("usr/lib/udev/rules.d/80-probe.rules") == "# a rule\n"
    image_kit.flavour("rival", {"files/usr/lib/udev/rules.d/80-probe.rules": "# another\n"})
    with pytest.raises(PlanError, match="flavours `rival` and `lays` both have a file"):
        make_ramdisk(image_kit, "lays", "rival")


def test_a_file_of_a_flavour_where_a_ramdisk_has_a_folder_is_refused(image_kit: ImageKit) -> None:
    image_kit.flavour("top", {"files/bin": "no folder\n"})
    with pytest.raises(ContractError, match="flavour `top` has a file at `/bin`, where a ramdisk has a folder"):
        make_ramdisk(image_kit, "top")
    image_kit.flavour("below", {"files/usr/bin": "no folder\n"})
    with pytest.raises(StepFailed, match="below has a file at `/usr/bin`, where a ramdisk has a folder"):
        make_ramdisk(image_kit, "below")


def test_the_kernel_is_that_of_the_module_root(image_kit: ImageKit, tmp_path: Path) -> None:
    root = kernel_root(tmp_path / "root", "9.9-mine")
    image_kit.flavour("plain", {"modules": "mine\n"})
    built = make_ramdisk(image_kit, "plain", module_root=root)
    assert built.kernel.read_text() == "kernel 9.9-mine\n"
    assert "usr/lib/modules/9.9-mine/kernel/mine.ko" in built.nodes
    assert f"usr/lib/modules/{KERNEL}" not in built.nodes
    assert built.manifest["kernel"]["origin"] == str(root)
    with pytest.raises(StepFailed, match="there is no kernel 1.2-gone") as caught:
        make_ramdisk(image_kit, "plain", module_root=root, kernel_version="1.2-gone")
    assert "9.9-mine" in caught.value.cause


def test_nothing_is_grown_when_executables_and_kernel_are_this_machines(image_kit: ImageKit, tmp_path: Path) -> None:
    root = kernel_root(tmp_path / "root", "9.9-mine")
    image_kit.flavour("plain", {"binary-deps": "env\n"})
    built = make_ramdisk(image_kit, "plain", operating_system="", module_root=root, binaries_from="host")
    assert not image_kit.cache.joinpath("packages").exists()
    assert built.manifest["plan"]["tree"] is None
    assert built.kernel.read_text() == "kernel 9.9-mine\n"
    assert "usr/bin/busybox" in built.nodes
    assert {one["from"] for one in built.manifest["executables"]} == {"host", "imagewright"}


@pytest.mark.parametrize("kind", ["raw", "qcow2", "tar"])
def test_the_kernel_comes_out_of_an_image(image_kit: ImageKit, kind: str) -> None:
    image = image_kit.build(types=(kind,), output="source").path(kind)
    image_kit.flavour("plain", {"modules": "toy\n"})
    built = make_ramdisk(image_kit, "plain", kernel_image=image)
    assert built.kernel.read_text() == "a kernel, were this not a toy\n"
    assert built.manifest["kernel"]["origin"] == image.name
    assert built.nodes[f"usr/lib/modules/{KERNEL}/kernel/toy.ko"].content == b"\x7fELF of a toy\n"


@pytest.mark.parametrize("kind", ["gone", "damaged", "without a kernel"])
def test_an_image_that_can_give_no_kernel_is_refused_before_any_work(image_kit: ImageKit, kind: str) -> None:
    image = image_kit.folder / "source.img"
    if kind == "damaged":
        image.write_bytes(b"QFI\xfb" + bytes(4096))
    elif kind == "without a kernel":
        with tarfile.open(image, "w") as tar:
            tar.addfile(tarfile.TarInfo("etc"))
    image_kit.flavour("plain", {"modules": "toy\n"})
    with pytest.raises(ImagewrightError, match=re.escape(str(image))):
        make_ramdisk(image_kit, "plain", kernel_image=image)
    assert (image_kit.folder / "test.ramdisk.log").read_text() == ""
    assert not list(image_kit.output.iterdir())


def test_a_version_that_the_image_has_not_is_refused_before_any_work(image_kit: ImageKit) -> None:
    image = image_kit.build(types=("tar",), output="source").path("tar")
    image_kit.flavour("plain", {"modules": "toy\n"})
    with pytest.raises(ImageUnreadable, match=f"holds no kernel 1.2-gone(.|\n)*{KERNEL}"):
        make_ramdisk(image_kit, "plain", kernel_image=image, kernel_version="1.2-gone")
    assert (image_kit.folder / "test.ramdisk.log").read_text() == ""


def test_the_kernel_comes_from_another_operating_system(image_kit: ImageKit) -> None:
    module = "from imagewright.testing.toy import Toy\n\n\nclass Other(Toy):\n    summary = 'another'\n"
    image_kit.pack("ramdisk-other-toy", module, {"other": "Other"})
    image_kit.flavour("plain", {"modules": "toy\n"})
    built = make_ramdisk(image_kit, "plain", kernel_flavour="other")
    assert built.manifest["kernel"]["origin"] == "tree of other"
    assert built.manifest["plan"]["kernel_tree"]["operating_system"] == "other"
    assert f"usr/lib/modules/{KERNEL}/kernel/toy.ko" in built.nodes
    assert not list(image_kit.work.iterdir())


def test_the_kernel_comes_from_no_flavour_that_is_no_operating_system(image_kit: ImageKit) -> None:
    image_kit.flavour("plain", {"flavour.toml": 'packages = ["kernel"]\n'})
    with pytest.raises(PlanError, match="`plain` is no operating system"):
        make_ramdisk(image_kit, "plain", kernel_flavour="plain")


PYTHON = """
    from imagewright.api import (
        BinaryDependency, Entry, Flavour, InitFragment, KernelModules, Packages, Step, Tree, UdevRules, hookimpl,
    )


    class Greets(Flavour):
        api_version = 1
        packages_wanted = ("greeting",)

        @hookimpl
        def packages(self, ctx):
            assert ctx.ramdisk
            return [Step(id="10-mail", action=Packages(names=("mail",)))]

        @hookimpl
        def binary_deps(self, ctx):
            yield BinaryDependency(name="hello", package="hello")
            yield BinaryDependency(name="/usr/share/greeting")

        @hookimpl
        def init(self, ctx):
            yield InitFragment(content="hello\\n")
            yield InitFragment(content="hello again\\n")

        @hookimpl
        def udev(self, ctx):
            return (UdevRules(name="50-greets.rules", content=b"# greets\\n"),)

        @hookimpl
        def modules(self, ctx):
            return (KernelModules(names=("toy",)),)

        @hookimpl
        def files(self, ctx):
            return (Tree((Entry(path="etc/greets", content=b"yes\\n"),)),)
"""


def test_a_flavour_in_python_gives_the_same_as_a_folder(image_kit: ImageKit) -> None:
    image_kit.pack("ramdisk-greets", PYTHON, {"greets": "Greets"})
    built = make_ramdisk(image_kit, "greets")
    assert set(built.nodes) >= {
        "usr/bin/hello",
        "usr/share/greeting",
        "usr/lib/udev/rules.d/50-greets.rules",
        f"usr/lib/modules/{KERNEL}/kernel/toy.ko",
        "etc/greets",
    }
    assert [line for line in built.read("init").splitlines() if line.startswith("hello")] == ["hello", "hello again"]
    wanted = {one["name"]: one["wanted_by"] for one in built.manifest["plan"]["packages"]}
    assert wanted == {"greeting": ["greets"], "hello": ["greets"], "mail": ["greets"]}


def test_parameters_are_variables_of_the_fragment_and_secrets_are_not(image_kit: ImageKit) -> None:
    toml = """
        [parameters.where]
        type = "string"
        default = "it's here"
        [parameters.token]
        type = "string"
        secret = true
    """
    image_kit.flavour("asks", {"flavour.toml": toml, "init": 'echo "$ASKS_WHERE"\n'})
    built = make_ramdisk(image_kit, "asks", settings={"asks.token": "s3cr3t-w0rd"}, init_timeout=7)
    init = built.read("init")
    assert "ASKS_WHERE='it'\\''s here'\nWHERE='it'\\''s here'\nfragment asks " in init
    assert "INIT_TIMEOUT=7\n" in init
    assert "s3cr3t-w0rd" not in init + str(built.manifest) + built.log


def test_a_busybox_that_the_caller_names_is_taken(image_kit: ImageKit, tmp_path: Path) -> None:
    mine = tmp_path / "busybox-of-mine"
    mine.write_bytes(Path("/bin/busybox").read_bytes() + b"mine")
    mine.chmod(0o755)
    image_kit.flavour("plain", {"init": "true\n"})
    built = make_ramdisk(image_kit, "plain", busybox=mine)
    busybox = built.nodes["usr/bin/busybox"]
    assert busybox.target == str(mine)
    assert built.nodes[str(mine).lstrip("/")].content.endswith(b"mine")


def test_the_command_prints_what_it_wrote(image_kit: ImageKit) -> None:
    image_kit.flavour("plain", {"init": "true\n"})
    done = image_kit.command("ramdisk-image-create", "toy", "plain", IMAGE_NAME="deploy.ramdisk")
    assert done.stdout.splitlines() == ["deploy.ramdisk", "deploy.kernel", "deploy.manifest.json", "deploy.sha256"]
    done = image_kit.command("ramdisk-image-create", "--plan", "toy", "plain")
    assert "/init      start, plain, end" in done.stdout
    failed = image_kit.command("ramdisk-image-create", "toy", "plain", "-o", "x", "-m", "/home", check=False)
    assert failed.returncode == 1
    assert "there are no kernel modules in /home" in failed.stderr
    assert not (image_kit.output / "x").exists()


def kernel_root(folder: Path, version: str) -> Path:
    """A root with a kernel that has one module."""
    modules = folder / "lib" / "modules" / version
    (modules / "kernel").mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/mine.ko:\n")
    (modules / "kernel" / "mine.ko").write_bytes(b"a module\n")
    (folder / "boot").mkdir()
    (folder / "boot" / f"vmlinuz-{version}").write_text(f"kernel {version}\n")
    return folder
