"""A real Puppet server on the host: its tree is built like an image and runs in a sandbox."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagewright.errors import ImagewrightError
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import TARGET, Job, Stack
from imagewright.testing.trees import TarView

from boots_kit import images

NAME = "puppet-server"
AUTHORITY = "etc/puppet/puppetserver/ca/ca_crt.pem"
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
# The server needs neither a kernel's initramfs nor what is in every image.
_WORDS = ("--skip-base", "--skip", "debian:finalise/50-initramfs", "-t", "tar", "debian", NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class PuppetServer:
    """A server at ``port`` of 127.0.0.1; ``authority`` is the certificate that signed its own."""

    port: int
    authority: str
    log_file: Path
    thread: threading.Thread

    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text(errors="replace")

    def wait(self, patience: float) -> None:
        """Wait until it serves; AssertionError after ``patience`` seconds or at its end."""
        context = ssl.create_default_context(cadata=self.authority)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        deadline = time.monotonic() + patience
        while True:
            try:
                with opener.open(f"https://127.0.0.1:{self.port}/status/v1/simple", timeout=30) as answer:
                    if answer.read().strip() == b"running":
                        return
            except OSError as error:
                said = str(error)
            else:
                said = "it answers and is not running yet"
            assert self.thread.is_alive(), f"the Puppet server ended:\n{self.log()[-4000:]}"
            assert time.monotonic() < deadline, f"the Puppet server does not serve ({said}):\n{self.log()[-4000:]}"
            time.sleep(1)


def build() -> Path:
    """The archive of the server's tree; built if the sources changed."""
    words = (NAME, *_WORDS)
    folder = images.kept(images.digest(*words), lambda folder: images.run_the_command(folder / NAME, *_WORDS))
    return folder / f"{NAME}.tar"


@contextlib.contextmanager
def serving(archive: Path, folder: Path) -> Iterator[PuppetServer]:
    """Run the server as long as the context lasts; it takes a while until it serves."""
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / "server.log"
    with Sandbox.open(folder) as sandbox, log_file.open("w") as log:

        def say(line: str) -> None:
            log.write(f"{line}\n")
            log.flush()

        unpack = Job(
            argv=("tar", "-x", "--numeric-owner", "--same-permissions", "--exclude=./dev/*", "-C", TARGET),
            environment=_ENVIRONMENT,
            stack=Stack(lower=(), upper="tree"),
            stdin=archive,
        )
        assert sandbox.run(unpack, say) == 0, log_file.read_text()[-2000:]
        port = _free_port()
        serve = Job(
            argv=("/usr/local/sbin/serve", str(port)),
            environment={**_ENVIRONMENT, "HOME": "/var/lib/puppet"},
            stack=Stack(lower=("tree",), upper="changes"),
            inside=True,
        )
        thread = threading.Thread(target=_run, args=(sandbox, serve, say), daemon=True)
        thread.start()
        try:
            authority = TarView(archive).read(AUTHORITY)
            yield PuppetServer(port=port, authority=authority, log_file=log_file, thread=thread)
        finally:
            sandbox.terminate()
            thread.join(30)
            _clear(folder)


def _run(sandbox: Sandbox, job: Job, say: Callable[[str], None]) -> None:
    # the sandbox is ended while the job runs, which is no fault
    with contextlib.suppress(ImagewrightError, OSError):
        sandbox.run(job, say)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _clear(folder: Path) -> None:
    # files of mapped owners, which only a sandbox may remove
    with Sandbox.open(folder) as sandbox:
        for layer in sorted((folder / "layers").iterdir()):
            sandbox.remove(layer)
