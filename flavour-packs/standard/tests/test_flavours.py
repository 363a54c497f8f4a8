from __future__ import annotations

import shlex
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from imagewright.errors import StepFailed
from imagewright.testing.kit import ImageKit
from imagewright.types import MIB, Layout, Phase, Put

SETTINGS = "etc/default/grub.d/40-serial-console.cfg"


def sourced(text: str, *names: str) -> list[str]:
    """The variables of a file that update-grub sources."""
    words = " ".join(f'"${name}"' for name in names)
    script = f"GRUB_CMDLINE_LINUX=before\n{text}\nprintf '%s\\n' {words}"
    return subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout.splitlines()


def test_base_brings_its_parts_and_can_be_left_out(image_kit: ImageKit) -> None:
    parts = {"base", "growroot", "serial-console", "ssh-server", "cloud-init", "dhcp-all"}
    with_base = {flavour.name for flavour in image_kit.plan(skip_base=False).flavours}
    assert with_base == {"toy", *parts}
    assert {flavour.name for flavour in image_kit.plan(skip_base=True).flavours} == {"toy"}


def test_a_part_of_base_can_be_had_alone(image_kit: ImageKit) -> None:
    assert {flavour.name for flavour in image_kit.plan("growroot").flavours} == {"toy", "growroot"}


def test_the_serial_line_is_the_last_console_of_the_kernel(image_kit: ImageKit) -> None:
    built = image_kit.build("serial-console")
    text = built.tree.read(SETTINGS)
    names = ("GRUB_CMDLINE_LINUX", "GRUB_TERMINAL", "GRUB_SERIAL_COMMAND")
    assert sourced(text, *names) == [
        "before console=tty0 console=ttyS0,115200",
        "console serial",
        "serial --unit=0 --speed=115200",
    ]


@pytest.mark.parametrize(
    ("line", "unit"), [("ttyS1,9600n8", "serial --unit=1 --speed=9600"), ("ttyS2", "serial --unit=2 --speed=115200")]
)
def test_another_serial_line_can_be_named(image_kit: ImageKit, line: str, unit: str) -> None:
    text = image_kit.build("serial-console", settings={"serial-console.line": line}).tree.read(SETTINGS)
    arguments, command = sourced(text, "GRUB_CMDLINE_LINUX", "GRUB_SERIAL_COMMAND")
    assert arguments.endswith(f" console={line}")
    assert command == unit


def test_grub_leaves_alone_a_line_that_it_does_not_know(image_kit: ImageKit) -> None:
    text = image_kit.build("serial-console", settings={"serial-console.line": "ttyAMA0,115200"}).tree.read(SETTINGS)
    assert "console=ttyAMA0,115200" in text
    assert "GRUB_TERMINAL" not in text


@pytest.mark.parametrize("line", ["", "eth0", "ttyS0,fast", "ttyS0 quiet", "ttyS0,115200; reboot"])
def test_what_is_no_serial_line_is_refused(image_kit: ImageKit, line: str) -> None:
    image_kit.fails("serial-console", settings={"serial-console.line": line}, match="as in ttyS0", kind=StepFailed)


def test_vm_lays_out_one_gpt_for_both_firmwares_with_the_root_last(image_kit: ImageKit) -> None:
    (step,) = image_kit.plan("vm", root_label="system").of(Phase.BLOCK_DEVICE)
    layout = step.step.action
    assert isinstance(layout, Layout)
    assert [(one.role, one.size) for one in layout.partitions] == [
        ("bios-boot", MIB),
        ("esp", 64 * MIB),
        ("root", 0),
    ]
    assert layout.partitions[-1].label == "system"
    assert layout.boot_loader == "grub"


@pytest.mark.parametrize("arguments", ["quiet net.ifnames=0", 'dyndbg="module foo +p" it\'s $HOME `true`'])
def test_kernel_arguments_reach_update_grub_as_they_were_given(image_kit: ImageKit, arguments: str) -> None:
    plan = image_kit.plan("vm", kernel_arguments=arguments)
    (put,) = (one.step.action for one in plan.of(Phase.INSTALL) if one.step.id == "50-kernel-arguments")
    assert isinstance(put, Put)
    assert sourced(put.tree.entries[0].content.decode(), "GRUB_CMDLINE_LINUX") == [f"before {arguments}"]


def test_without_kernel_arguments_nothing_is_laid(image_kit: ImageKit) -> None:
    assert "50-kernel-arguments" not in [one.step.id for one in image_kit.plan("vm").of(Phase.INSTALL)]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("--target=device /", "/dev/vda3"),
        ("--device /dev/vda3 --target=fs_uuid", "1-2-3"),
        ("-t fs /boot", "ext2"),
        ("--device /dev/vda3 --target=partmap", "gpt"),
        ("--device /dev/vda3 --target=abstraction", ""),
        ("dummy", "ext2"),
    ],
)
def test_the_answerer_speaks_as_grub_probe_does(words: str, answer: str) -> None:
    script = resources.files("imagewright_flavours_standard") / "vm/finalise.d/tools/grub-probe"
    environment = {"IMAGE_ROOT_UUID": "1-2-3", "IMAGE_ROOT_LABEL": "system", "PATH": "/usr/bin:/bin"}
    argv = ["sh", str(script), *shlex.split(words)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == answer


def test_what_must_be_executable_in_the_image_is() -> None:
    top = Path(str(resources.files("imagewright_flavours_standard")))
    for name in ("growroot/static/usr/lib/imagewright/growroot", "cloud-init/static/usr/lib/imagewright/instance-keys"):
        assert (top / name).stat().st_mode & 0o111, name


def test_no_unit_is_wanted_by_a_plain_file_which_systemd_ignores() -> None:
    top = Path(str(resources.files("imagewright_flavours_standard")))
    assert not [path for path in top.glob("*/static/**/*.wants/*") if not path.is_symlink()]
