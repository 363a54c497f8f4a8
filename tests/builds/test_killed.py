"""A builder that dies in any phase leaves no process, no namespace and no mount; the next command clears its files."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from imagewright.testing.kit import ImageKit, program
from imagewright.testing.repository import PACKAGES, ToyPackage, repository

from .conftest import PROBED_SYSTEM
from .processes import HostState, adopt_orphans, alive, descendants, namespaces, reap, wait_until

NAP = "sleep 612.5"
SLEEPER = f"#!/bin/sh\n{NAP}\n"

SCRIPT_PHASES = (
    "block-device-size", "extra-data", "pre-install", "install", "post-install", "finalise", "cleanup", "block-device",
)  # fmt: skip
# Whose program naps in a step of the core, as mapped root in the sandbox.
TOOLS = {"disk": "mke2fs"}
PHASES = (*SCRIPT_PHASES, "root", "packages", *TOOLS, "artefacts")

NAPPING_OUTPUT = f"""
    from imagewright.disk import tools

    class Napping:
        suffix = ".napping"
        needs = "raw"
        tools = ()

        def write(self, image, destination):
            tools.run(["sh", "-c", "exec {NAP}"])
"""


class Builder:
    """disk-image-create, running until it naps in a phase."""

    def __init__(self, kit: ImageKit, phase: str, mirror: str, tools: Path) -> None:
        self.kit = kit
        arguments = ["-t", "raw,qcow2", "-o", "it", "--skip-base", "--image-size", "0.0625"]
        environment = kit.environment()
        if phase in SCRIPT_PHASES:
            kit.flavour("sleeper", {f"{phase}.d/50-nap": SLEEPER})
            arguments += ["toy", "sleeper"]
        elif phase == "root":
            folder = kit.folder / "sleepy-system"
            (folder / "root.d").mkdir(parents=True)
            (folder / "root.d/50-nap").write_text(SLEEPER)
            (folder / "root.d/50-nap").chmod(0o755)
            kit.pack("sleepy-system-pack", PROBED_SYSTEM.format(folder=str(folder)), {"sleepy-system": "Probed"})
            arguments += ["sleepy-system"]
        elif phase == "packages":
            arguments += ["toy", "--mirror", mirror, "-p", "sleeper"]
        elif phase == "artefacts":
            # a program of a process of its own: two types of the disk are written side by side
            kit.pack("napping", NAPPING_OUTPUT, {}, onto=tools)
            (tools / "napping-1.0.dist-info" / "entry_points.txt").write_text(
                "[imagewright.outputs]\nnapping = napping:Napping\n"
            )
            environment["PYTHONPATH"] = str(tools)
            arguments[1] = "raw,napping"
            arguments += ["toy"]
        else:
            (tools / TOOLS[phase]).write_text(f"#!/bin/sh\nexec {NAP}\n")
            (tools / TOOLS[phase]).chmod(0o755)
            environment["PATH"] = f"{tools}:{environment['PATH']}"
            arguments += ["toy"]
        self.process = subprocess.Popen(
            [program("disk-image-create"), *arguments],
            env=environment,
            cwd=kit.output,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_nap(self) -> None:
        def napping() -> bool:
            assert self.process.poll() is None, "".join(self.process.communicate())
            return any(line.strip() == NAP for line in descendants(self.process.pid).values())

        wait_until(napping, "the nap")


@pytest.fixture
def orphanage() -> Iterator[None]:
    adopt_orphans(on=True)
    yield
    # what a failed test found must not be found by the next one again
    for pid in descendants():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: reap() or not descendants(), "the end of the orphans")
    adopt_orphans(on=False)


@pytest.fixture
def tools() -> Iterator[Path]:
    """A folder for programs that mapped root may run too, which those of a test's own folders are not."""
    with TemporaryDirectory(prefix="imagewright-killed-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def sleepy_mirror() -> Iterator[str]:
    files = repository((*PACKAGES, ToyPackage(name="sleeper", version="1", script=SLEEPER.encode())))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.rpartition("/")[2])
            self.send_response(200 if content is not None else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/toy"
        server.shutdown()


def assert_nothing_runs(before: HostState, spaces: set[str]) -> None:
    def over() -> bool:
        reap()
        return not descendants() and not alive(spaces)

    wait_until(over, f"the end of everything ({descendants()}, {spaces})", seconds=10)
    assert HostState.now() == before


@pytest.mark.parametrize("phase", PHASES)
def test_a_builder_killed_in_a_phase_leaves_nothing_but_its_work_folder(
    image_kit: ImageKit, sleepy_mirror: str, tools: Path, orphanage: None, phase: str
) -> None:
    before = HostState.now()
    builder = Builder(image_kit, phase, sleepy_mirror, tools)
    builder.wait_for_nap()
    spaces = namespaces(set(descendants(builder.process.pid)))
    assert spaces, "the builder has no namespace of its own"
    builder.process.kill()
    builder.process.communicate()
    assert_nothing_runs(before, spaces)
    assert not list(image_kit.output.iterdir())
    left = list(image_kit.work.iterdir())
    assert len(left) == 1
    log = next((image_kit.cache / "logs").iterdir()).read_text()
    assert f" {phase}/" in log.splitlines()[-1], "the nap was in another phase"
    done = image_kit.command("disk-image-create", "-t", "tar", "-o", "next", "--skip-base", "toy")
    assert done.stdout.splitlines()[0].endswith("next.tar")
    assert not left[0].exists()
    assert not list(image_kit.work.glob("build-*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("phase", ["extra-data", "install"])
def test_a_builder_asked_to_end_clears_up_and_says_so(
    image_kit: ImageKit, sleepy_mirror: str, tools: Path, orphanage: None, phase: str, number: int, status: int
) -> None:
    before = HostState.now()
    builder = Builder(image_kit, phase, sleepy_mirror, tools)
    builder.wait_for_nap()
    spaces = namespaces(set(descendants(builder.process.pid)))
    builder.process.send_signal(number)
    stdout, stderr = builder.process.communicate(timeout=60)
    assert builder.process.returncode == status, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert "stopping: removing the work folder\n" in stderr
    assert_nothing_runs(before, spaces)
    assert not list(image_kit.output.iterdir())
    assert not list(image_kit.work.iterdir())


def test_two_builds_at_once_do_not_disturb_each_other(image_kit: ImageKit, sleepy_mirror: str, tools: Path) -> None:
    builder = Builder(image_kit, "install", sleepy_mirror, tools)
    try:
        builder.wait_for_nap()
        image_kit.command("disk-image-create", "-t", "tar", "-o", "other", "--skip-base", "toy")
        assert builder.process.poll() is None
        assert len(list(image_kit.work.glob("build-*"))) == 1
    finally:
        builder.process.send_signal(signal.SIGTERM)
        builder.process.communicate(timeout=60)


def test_a_build_that_waits_for_the_package_cache_says_for_whom(
    image_kit: ImageKit, sleepy_mirror: str, tools: Path
) -> None:
    first = Builder(image_kit, "packages", sleepy_mirror, tools)
    second = None
    try:
        first.wait_for_nap()
        second = subprocess.Popen(
            [program("disk-image-create"), "-t", "tar", "-o", "other", "--skip-base", "toy"],
            env=image_kit.environment(), cwd=image_kit.output, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert second.stderr is not None
        waiting = next(line for line in second.stderr if "waiting" in line)
        assert f"waiting for another build (process {first.process.pid}), which uses the package cache " in waiting
        first.process.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)
        assert second.returncode == 0
    finally:
        for builder in (first.process, *([second] if second else [])):
            if builder.poll() is None:
                builder.send_signal(signal.SIGTERM)
            builder.communicate(timeout=60)


def test_a_build_changes_nothing_of_the_host(image_kit: ImageKit, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    before = HostState.now()
    image_kit.flavour(
        "rude",
        {
            "install.d/10-rude": "#!/bin/sh\necho nameserver 192.0.2.1 >/etc/resolv.conf || true\n"
            "rm -rf /dev/shm/* /dev/null || true\numount /proc 2>/dev/null || true\n",
            "cleanup.d/10-rude": "#!/bin/sh\necho x >/etc/resolv.conf || true\nrm -f /dev/null || true\n"
            'if mount -t tmpfs tmpfs "$TARGET_ROOT/mnt"; then exit 9; fi\n',
        },
    )
    image_kit.build("rude", environment={"HOME": str(home)}, allow=("resolver",))
    assert HostState.now() == before
    assert not list(home.iterdir())
    assert Path(os.devnull).is_char_device()
