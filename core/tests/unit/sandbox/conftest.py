"""A work folder with a tiny root tree of busybox, and a sandbox on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from imagewright.errors import HostError
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import Bind, Job, Stack

BUSYBOX = shutil.which("busybox")
PATH = "/bin:/usr/bin:/usr/sbin:/sbin"
APPLETS = (
    *("sh", "cat", "ls", "id", "stat", "env", "mkdir", "rm", "ln", "chmod", "chown", "touch", "sleep", "mount", "mv"),
    *("hostname", "kill", "su", "nohup", "setsid", "echo", "grep", "head", "wc"),
)

FUNCTIONS = """
import os

from imagewright.errors import HostError


def add(*, a, b):
    print("adding")
    return {"sum": a + b, "uid": os.getuid(), "pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ)}


def refuse():
    raise HostError("no-luck", "there is no luck", where=("file: x",), cause="the weather", hint="wait", option="o")


def break_down():
    print("about to fail")
    raise ValueError("seven")


def open_nothing(*, path):
    open(path)


def fill():
    raise OSError(28, "No space left on device")


def vanish():
    os.kill(os.getpid(), 9)


def unspeakable():
    return {1, 2}


def late():
    import late_module

    return late_module.VALUE


def write(*, path, size):
    with open(path, "w") as stream:
        stream.write("x" * size)
    return os.stat(path).st_uid


def length(*, text):
    return len(text)


def see(*, path):
    return sorted(os.listdir(path))
"""


@dataclass
class Bench:
    """A sandbox, its work folder, and what jobs printed."""

    sandbox: Sandbox
    work: Path
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def layer(self, name: str) -> Path:
        return self.work / "layers" / name

    def sh(
        self,
        script: str,
        *,
        lower: Sequence[str] = ("base",),
        upper: str | None = "top",
        inside: bool = True,
        binds: Sequence[Bind] = (),
        network: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Run a shell script in the tree; its lines are in ``lines`` afterwards."""
        self.lines.clear()
        job = Job(
            argv=("/bin/sh", "-c", script),
            environment={"PATH": PATH} if environment is None else environment,
            stack=Stack(lower=tuple(lower), upper=upper),
            inside=inside,
            binds=tuple(binds),
            network=network,
        )
        return self.sandbox.run(job, self.lines.append)

    def out(self, script: str, **options: object) -> str:
        """What a script prints that must end well."""
        status = self.sh(script, **options)  # type: ignore[arg-type]
        assert status == 0, self.text
        return self.text


def make_base(folder: Path) -> None:
    """Write a root tree that runs shell scripts, and lacks /etc/resolv.conf."""
    assert BUSYBOX is not None
    for name in ("bin", "etc", "proc", "sys", "dev", "run", "tmp", "var/tmp", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, folder / "bin" / "busybox")
    (folder / "bin" / "busybox").chmod(0o755)
    for name in APPLETS:
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    (folder / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\n")


@pytest.fixture(autouse=True)
def _tools() -> None:
    if BUSYBOX is None:
        pytest.skip("busybox-static is not installed")


@pytest.fixture(scope="session")
def sandbox_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        Sandbox.open(tmp_path_factory.mktemp("works")).close()
    except HostError as error:
        pytest.skip(f"no namespaces here: {error.message}")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "layers" / "base").mkdir(parents=True)
    make_base(folder / "layers" / "base")
    return folder


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a module that lies where only the caller may go."""
    folder = tmp_path_factory.mktemp("private") / "code"
    folder.mkdir()
    (folder / "sandbox_functions.py").write_text(FUNCTIONS)
    (folder / "late_module.py").write_text("VALUE = 42\n")
    folder.parent.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "sandbox_functions"


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, functions: str, sandbox_works: None
) -> Iterator[tuple[Sandbox, Path]]:
    work = tmp_path_factory.mktemp("shared") / "work"
    work.mkdir()
    work.parent.chmod(0o700)
    with Sandbox.open(work, preload=(functions,)) as sandbox:
        yield sandbox, work


@pytest.fixture
def bench(shared: tuple[Sandbox, Path]) -> Iterator[Bench]:
    """A sandbox with the tiny tree as layer ``base``, shared by a module's tests; what they leave is removed."""
    sandbox, work = shared
    make_base(work / "layers" / "base")
    sandbox.own(work / "layers" / "base")
    yield Bench(sandbox, work)
    for entry in sorted(work.iterdir()):
        if entry.name != "layers":
            sandbox.remove(entry)
    for entry in sorted((work / "layers").iterdir()):
        sandbox.remove(entry)
