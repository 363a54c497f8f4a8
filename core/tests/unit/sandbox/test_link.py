"""A network of a build's own: what is told where it cannot be made, and that nothing of it is left."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from imagewright.errors import HostError
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import Job
from imagewright.sandbox.link import Network, obstacle

SHOW = Job(argv=("cat", "/proc/net/dev"), environment={"PATH": "/usr/bin:/bin"})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    tmp_path.chmod(0o755)
    return folder


def _interfaces(sandbox: Sandbox) -> list[str]:
    lines: list[str] = []
    assert sandbox.run(SHOW, lines.append) == 0
    return sorted(line.split(":")[0].strip() for line in lines if ":" in line)


def test_a_sandbox_has_a_network_of_its_own_or_says_what_is_in_the_way(work: Path) -> None:
    with Sandbox.open(work, network=Network()) as sandbox:
        assert sandbox.separated == (not obstacle())
        if sandbox.separated:
            assert _interfaces(sandbox) == ["lo", "net0"]


def test_a_network_without_a_link_has_its_loopback_and_needs_no_pasta(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagewright.sandbox.sandbox.obstacle", lambda: "no pasta")
    with Sandbox.open(work, network=Network(connected=False, must=True)) as sandbox:
        assert (sandbox.separated, sandbox.shared) == (True, "")
        assert _interfaces(sandbox) == ["lo"]
        with sandbox.namespaces() as names:
            assert "network" in names


def test_without_pasta_the_hosts_network_is_shared_unless_that_must_not_be(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("newuidmap", "newgidmap"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tools))
    with Sandbox.open(work, network=Network()) as sandbox:
        assert not sandbox.separated
    with pytest.raises(HostError, match="lacks pasta") as caught:
        Sandbox.open(work, network=Network(must=True))
    assert "passt" in caught.value.hint


def test_a_pasta_that_fails_is_no_end_of_the_build_and_is_told(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    pasta = tools / "pasta"
    pasta.write_text("#!/bin/sh\necho 'no interface is up' >&2\nexit 1\n")
    pasta.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr("imagewright.sandbox.link.TUN", "/dev/null")
    with Sandbox.open(work, network=Network()) as sandbox:
        assert not sandbox.separated
        assert "no interface is up" in sandbox.shared


def test_nothing_of_the_link_is_left_after_the_sandbox(work: Path) -> None:
    with Sandbox.open(work, network=Network()) as sandbox:
        owner = str(sandbox._launcher.pid)
        running = [line for line in _commands() if f"/proc/{owner}/ns/net" in line]
        assert bool(running) == sandbox.separated
    assert not [line for line in _commands() if f"/proc/{owner}/ns/net" in line]


def test_a_network_that_was_let_go_ends_while_jobs_run(work: Path) -> None:
    with Sandbox.open(work, network=Network()) as sandbox:
        if not sandbox.separated:
            pytest.skip("the host has no pasta")
        owner = str(sandbox._launcher.pid)
        sandbox.disconnect()
        deadline = time.monotonic() + 60
        while [line for line in _commands() if f"/proc/{owner}/ns/net" in line]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert sandbox.run(Job(argv=("/bin/true",), network=False), print) == 0
        sandbox.disconnect()


HOLDS = """
import sys, time
from pathlib import Path
from imagewright.sandbox import Sandbox
from imagewright.sandbox.link import Network
sandbox = Sandbox.open(Path(sys.argv[1]), network=Network())
print(sandbox._launcher.pid, flush=True)
time.sleep(600)
"""


def test_nothing_of_the_link_outlives_a_builder_that_is_killed(work: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(work)], stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        owner = builder.stdout.readline().strip()
        running = [line for line in _commands() if f"/proc/{owner}/ns/net" in line]
        builder.kill()
    assert bool(running) == (not obstacle())
    deadline = time.monotonic() + 60
    while [line for line in _commands() if f"/proc/{owner}/ns/net" in line]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _commands() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
