"""Real QEMU without a disk (SeaBIOS speaks on the serial port at once), and programs that stand in for a broken one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.boot.accelerator import TCG
from imagewright.boot.errors import BootFailed
from imagewright.boot.instance import Instance
from imagewright.boot.machine import Machine, Network
from imagewright.boot.metadata import MetadataService
from imagewright.boot.running import clean, running
from imagewright.errors import HostError

# SeaBIOS prints to the serial port if it is told so by a file of QEMU's configuration device.
SPEAKS = ("-fw_cfg", "name=etc/sercon-port,file={}")
needs_qemu = pytest.mark.skipif(
    not any(os.access(f"{folder}/qemu-system-x86_64", os.X_OK) for folder in os.get_exec_path()),
    reason="QEMU is not installed",
)


def machine(folder: Path, **more: object) -> Machine:
    port = folder / "sercon-port"
    port.write_bytes((0x3F8).to_bytes(2, "little"))
    extra = tuple(word.format(port) for word in SPEAKS)
    return Machine(memory=32, cpus=1, extra=extra, **more)  # type: ignore[arg-type]


@needs_qemu
def test_a_machine_speaks_is_waited_for_and_ends(tmp_path: Path) -> None:
    with running(machine(tmp_path), tmp_path / "m", accelerator=TCG) as it:
        assert it.wait_for("No bootable device", 60) < 60
        assert "SeaBIOS" in it.console
        assert "\x1b" not in it.console
        assert it.ssh_port > 1024
        assert it.alive
        pid = it.pid
        assert os.getsid(pid) == pid
    assert not it.alive
    assert not Path(f"/proc/{pid}").exists()


@needs_qemu
def test_waiting_in_vain_shows_the_console_and_names_its_file(tmp_path: Path) -> None:
    with running(machine(tmp_path, network=None), tmp_path / "m", accelerator=TCG) as it:
        it.wait_for("No bootable device", 60)
        with pytest.raises(BootFailed, match="'login:' within 1 s") as caught:
            it.wait_for("login:", 1)
        assert str(it.folder.console) in caught.value.where[0]
        assert any("No bootable device" in line for line in caught.value.where)
        assert it.ssh_port == 0


@needs_qemu
def test_two_machines_have_two_ports(tmp_path: Path) -> None:
    with (
        running(machine(tmp_path), tmp_path / "a", accelerator=TCG) as one,
        running(machine(tmp_path), tmp_path / "b", accelerator=TCG) as two,
    ):
        assert one.ssh_port != two.ssh_port


@needs_qemu
def test_a_machine_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, time\n"
        "from imagewright.boot.accelerator import TCG\n"
        "from imagewright.boot.machine import Machine\n"
        "from imagewright.boot.running import running\n"
        "with running(Machine(memory=32), pathlib.Path(sys.argv[1]), accelerator=TCG) as it:\n"
        "    print(it.pid, flush=True)\n"
        "    time.sleep(300)\n"
    )
    parent = subprocess.Popen((sys.executable, "-c", script, str(tmp_path / "m")), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 120
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


@needs_qemu
def test_what_qemu_refuses_is_told_with_its_words(tmp_path: Path) -> None:
    wrong = Machine(memory=32, extra=("-device", "no-such-device"))
    with pytest.raises(HostError, match="did not start") as caught, running(wrong, tmp_path / "m", accelerator=TCG):
        pass
    assert "no-such-device" in str(caught.value)


@needs_qemu
def test_a_machine_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    with running(machine(tmp_path), tmp_path / "m", accelerator=TCG) as it:
        os.kill(it.pid, signal.SIGTERM)
        with pytest.raises(BootFailed, match="has stopped"):
            it.wait_for("login:", 60)


@needs_qemu
def test_the_answers_of_the_metadata_service_are_laid_out(tmp_path: Path) -> None:
    network = Network(metadata=MetadataService(instance=Instance(id="i-77")))
    with running(machine(tmp_path, network=network), tmp_path / "with, comma", accelerator=TCG) as it:
        assert "i-77" in it.folder.metadata.read_text()
        assert it.ssh_port > 0
        assert it.metadata_requests == ()


FAKE = """
for word; do case $word in file,id=console,path=*) console=${{word#file,id=console,path=}};; esac; done
n=$(cat {state} 2>/dev/null || echo 0); echo $((n + 1)) > {state}
if [ "$n" -lt {panics} ]; then
  echo '[    0.5] Kernel panic - not syncing: IO-APIC + timer doesn'"'"'t work!  Boot with apic=debug' > "$console"
else
  echo 'host login: ' > "$console"
fi
exec sleep 60
"""


def test_the_emulations_panic_is_answered_with_one_new_start_and_said(
    tmp_path: Path, program: Callable[[str, str], Path]
) -> None:
    program("qemu-system-x86_64", FAKE.format(state=tmp_path / "state", panics=1))
    said: list[str] = []
    with running(Machine(network=None), tmp_path / "m", accelerator=TCG, notice=said.append) as it:
        it.wait_for("login:", 30)
        assert len(said) == 1
        assert "started again" in said[0]
        assert "IO-APIC" in (tmp_path / "m/console.first.log").read_text()
    assert (tmp_path / "state").read_text() == "2\n"


def test_a_second_panic_is_a_failure(tmp_path: Path, program: Callable[[str, str], Path]) -> None:
    program("qemu-system-x86_64", FAKE.format(state=tmp_path / "state", panics=9))
    with (
        running(Machine(network=None), tmp_path / "m", accelerator=TCG) as it,
        pytest.raises(BootFailed, match="panicked"),
    ):
        it.wait_for("login:", 30)
    assert (tmp_path / "state").read_text() == "2\n"


def test_escape_sequences_and_carriage_returns_are_no_text() -> None:
    assert clean(b"\x1b[2J\x1b[01;01H[\x1b[0;32m  OK  \x1b[0m] Started\r\n\x1b(Bx\x00\xff") == "[  OK  ] Started\nx�"
    assert clean(b"\x1b[!p\x1b]104\x1b\\a\x1b]0;title\x07b\x1b[?7h\x1b[6n") == "ab"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
