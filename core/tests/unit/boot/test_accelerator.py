from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.boot.accelerator import TCG, UEFI_SPEAKS, probe, runs, uefi_options
from imagewright.boot.firmware import find_uefi
from imagewright.errors import HostError

Program = Callable[[str, str], Path]


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A node that looks usable, as that of a host without working KVM does."""
    path = tmp_path / "kvm"
    path.touch()
    return path


def test_a_qemu_that_hangs_means_emulation_within_the_limit(program: Program, device: Path, tmp_path: Path) -> None:
    # The grandchild keeps the pipe open, as a half-dead QEMU would.
    program("qemu-system-x86_64", f"echo $$ > {tmp_path}/pid; sleep 987; echo never")
    start = time.monotonic()
    assert probe(device=device, limit=0.5).name == "tcg,thread=multi"
    assert time.monotonic() - start < 5
    group = int((tmp_path / "pid").read_text())
    # who is killed goes on for a moment where the machine is busy
    while (left := _in_session(group)) and time.monotonic() < start + 30:
        time.sleep(0.05)
    assert not left, "the probe left a process"


def test_a_qemu_that_dies_means_emulation(program: Program, device: Path) -> None:
    program("qemu-system-x86_64", "echo 'failed to set MSR' >&2; exit 1")
    accelerator = probe(device=device)
    assert (accelerator.name, accelerator.cpu) == ("tcg,thread=multi", "max")


def test_a_qemu_that_talks_without_running_the_firmware_means_emulation(program: Program, device: Path) -> None:
    program("qemu-system-x86_64", "echo warning: something; exec sleep 60")
    assert probe(device=device, limit=0.5).name == "tcg,thread=multi"


BOTH_SPEAK = """
case "$*" in
*pflash*) printf 'BdsDxe: loading' ;;
*) printf Sea; sleep 0.1; printf 'BIOS (version 1)' ;;
esac
exec sleep 60
"""


def test_both_firmwares_that_speak_mean_kvm(program: Program, device: Path) -> None:
    program("qemu-system-x86_64", BOTH_SPEAK)
    accelerator = probe(device=device)
    assert (accelerator.name, accelerator.cpu) == ("kvm", "host")


def test_a_bios_that_speaks_where_uefi_does_not_run_means_emulation(program: Program, device: Path) -> None:
    program("qemu-system-x86_64", BOTH_SPEAK.replace("printf 'BdsDxe: loading'", "echo 'KVM internal error.' >&2"))
    start = time.monotonic()
    accelerator = probe(device=device, limit=30)
    assert accelerator.name == "tcg,thread=multi"
    assert "UEFI" in accelerator.reason
    assert time.monotonic() - start < 20, "QEMU had given up, and the probe went on waiting"


def test_where_uefi_is_not_installed_the_bios_has_to_do(
    program: Program, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagewright.boot.firmware.PLACES", ())
    program("qemu-system-x86_64", BOTH_SPEAK.replace("printf 'BdsDxe: loading'", "exit 1"))
    assert probe(device=device).name == "kvm"


def test_the_real_uefi_speaks_as_the_probe_expects() -> None:
    # in emulation, so that a host without KVM proves it too
    code = find_uefi().code
    machine = ("qemu-system-x86_64", "-accel", TCG.name, "-cpu", TCG.cpu, "-nodefaults", "-display", "none")
    assert runs((*machine, "-chardev", "stdio,id=port", *uefi_options(code)), UEFI_SPEAKS, limit=60)


def test_without_the_device_nothing_is_started(program: Program, tmp_path: Path) -> None:
    program("qemu-system-x86_64", f"touch {tmp_path}/started")
    accelerator = probe(device=tmp_path / "missing")
    assert accelerator.name == "tcg,thread=multi"
    assert "missing" in accelerator.reason
    assert not (tmp_path / "started").exists()


def test_a_missing_qemu_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="qemu-system-x86_64") as caught:
        probe()
    assert caught.value.exit_code == 4
    assert "qemu-system-x86" in caught.value.hint or "doctor" in caught.value.hint


def test_emulation_is_given_more_patience(tmp_path: Path, program: Program, device: Path) -> None:
    program("qemu-system-x86_64", BOTH_SPEAK)
    assert probe(device=tmp_path / "missing").patience > probe(device=device).patience


def _in_session(session: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found
