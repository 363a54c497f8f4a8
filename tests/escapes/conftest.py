"""The builds in which all escapes are tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit

from .table import ESCAPES, Escape
from .world import REPOSITORY, World, world

SYSTEM = '''
    from dataclasses import dataclass

    from imagewright.api import Entry, Tree, hookimpl
    from imagewright.testing.toy import Toy, ToyPackageManager

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Taking(ToyPackageManager):
        """toypm, with the logins of private repositories."""

        repositories: tuple = ()

        def private_files(self):
            (one,) = self.repositories
            return Tree((Entry(path="login", mode=0o600, content=str(one.login).encode()),))

    class Private(Toy):
        @hookimpl
        def package_manager(self, ctx):
            return Taking(mirror=ctx.mirror, repositories=ctx.repositories)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a build with all escapes said: by place and name, whether each got out.

    ``tops`` are the folders that it writes to.
    """

    world: World
    online: dict[tuple[str, str], bool]
    offline: dict[tuple[str, str], bool]
    folder: Path
    tops: tuple[Path, ...]
    said: str


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Build twice, online and offline: with what a caller's session has in its environment."""
    folder = tmp_path_factory.mktemp("escapes")
    with world() as outside, ImageKit.open(folder / "kit", shared=folder / "shared") as kit:
        _write(kit, outside)
        kit.pack("escapes-pack", SYSTEM, {"private": "Private"})
        repository = ("--repository", f"http://{REPOSITORY}/debian stable main", "--repository-login", outside.logins)
        said = {}
        for name, more in (("online", ()), ("offline", ("--offline",))):
            log = kit.folder / f"{name}.log"
            kit.command(
                "disk-image-create",
                *("--log-file", log, "--no-cache", "--skip-base", "-t", "tar", "-o", name, "private", "hostile"),
                *(*repository, *more),
                SSH_AUTH_SOCK=outside.names["agent"],
                SSH_AGENT_PID="1",
                DBUS_SESSION_BUS_ADDRESS=f"unix:path={outside.names['agent']}",
                GPG_AGENT_INFO=outside.names["agent"],
                CANARY_VARIABLE=outside.secret,
            )
            said[name] = log.read_text()
        yield Tried(
            world=outside,
            online=_results(said["online"]),
            offline=_results(said["offline"]),
            folder=kit.output,
            tops=(kit.folder, kit.output, kit.cache, kit.work),
            said=said["online"],
        )


def _write(kit: ImageKit, outside: World) -> None:
    more = {"flavour": str(kit.flavours / "hostile"), "cache": str(kit.cache), "work": str(kit.work)}
    files = {}
    for where in sorted({one.where for one in ESCAPES}):
        lines = ["#!/bin/sh"]
        for one in ESCAPES:
            if one.where == where:
                lines.append(_try(one, outside.script(one.script, **more)))
        # what is left running must end with the step
        lines.append(f"(setsid sleep 86399.{len(where)} </dev/null >/dev/null 2>&1 &)")
        files[f"{where}.d/50-{where}-escapes"] = "\n".join(lines) + "\n"
    # a link that leads out of the tree: what writes the tree into an image must not follow it
    files["install.d/60-link"] = outside.script("#!/bin/sh\nln -s {home}/canary /etc/leak\nhostname taken-over\n")
    files["install.d/40-login"] = '#!/bin/sh\necho "the login is $(cat /run/imagewright/private/login)"\n'
    kit.flavour("hostile", files)


def _try(one: Escape, script: str) -> str:
    said = f"escape {one.where} {one.name}"
    return f'if (\n{script}\n) >/dev/null 2>&1 </dev/null; then echo "{said}: out"; else echo "{said}: kept in"; fi'


def _results(log: str) -> dict[tuple[str, str], bool]:
    found = re.findall(r"escape (\S+) (\S+): (out|kept in)$", log, re.MULTILINE)
    return {(where, name): verdict == "out" for where, name, verdict in found}
