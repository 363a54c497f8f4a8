"""Canaries in everything that a builder can read: none comes up in anything that a build writes or says."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit
from imagewright.testing.reliability import Recorder

VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "PGPASSWORD",
    "OS_PASSWORD",
    "PIP_INDEX_URL",
    "NETRC",
    "KEEPER",
    "DEBEMAIL",
    "LS_COLORS",
    "EDITOR",
)
"""What no flavour declares; one begins like a flavour's name."""

FILES = (
    ".netrc",
    ".ssh/id_ed25519",
    ".ssh/config",
    ".aws/credentials",
    ".config/other/token",
    ".docker/config.json",
    ".gnupg/private-keys-v1.d/key",
    ".bash_history",
    ".git-credentials",
)
"""Below the caller's home."""

# everything that a curious script would look at, in every place where scripts run
CURIOUS = """#!/bin/sh
{ env; set; cat /proc/self/environ; } | sed 's/^/has /'
for name in {names}; do cat "$HOME/$name" "{home}/$name" 2>/dev/null; done
echo "the secret is $KEEPER_TOKEN."
printf 'fact\\n'
exit 0
"""


@dataclass(slots=True, kw_only=True)
class Said:
    """What each command and each file said, by a name, and the canaries by where they were planted."""

    texts: dict[str, bytes] = field(default_factory=dict)
    canaries: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def plant(self, where: str) -> str:
        """A new canary."""
        return self.canaries.setdefault(where, f"canary-{len(self.canaries)}-x7k{len(where)}q")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    folder = tmp_path_factory.mktemp("secrets")
    it = Said()
    home = folder / "home"
    for name in FILES:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"{it.plant(name)}\n")
    with ImageKit.open(folder / "kit", shared=folder / "shared") as kit, _Served() as address:
        scripts = {
            f"{phase}.d/50-look-{phase}": CURIOUS.replace("{home}", str(home)).replace("{names}", " ".join(FILES))
            for phase in ("block-device-size", "extra-data", "pre-install", "install", "finalise", "cleanup")
        }
        kit.flavour("keeper", {"flavour.toml": "[parameters.token]\nsecret = true\n", **scripts})
        environment = {name: it.plant(name) for name in VARIABLES}
        environment |= {
            "HOME": str(home),
            "TOKEN": it.plant("secret parameter"),
            "http_proxy": f"http://ann:{it.plant('proxy')}@{address}",
        }
        for name, more in (
            ("plan", ("--plan",)),
            ("plan as JSON", ("--plan", "--json")),
            ("build", ("--json", "--progress", "json")),
        ):
            log = kit.folder / "build.log"
            done = kit.command(
                "disk-image-create",
                *(*more, "--skip-base", "-t", "raw,tar", "--image-size", "0.0625", "--log-file", log, "toy", "keeper"),
                **environment,
            )
            it.texts[f"{name}, stdout"] = done.stdout.encode()
            it.texts[f"{name}, stderr"] = done.stderr.encode()
        it.log = log.read_text()
        for top in (kit.output, kit.cache, kit.work, log.parent):
            for path in top.rglob("*"):
                if path.is_file() and not path.is_symlink() and not path.is_relative_to(kit.flavours):
                    it.texts[str(path.relative_to(kit.folder))] = path.read_bytes()
        yield it


class _Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


class _Served:
    """A proxy that knows nothing, for as long as the block lasts."""

    def __enter__(self) -> str:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_no_canary_comes_up_anywhere(said: Said, reliability: Recorder) -> None:
    assert len(said.texts) > 20
    found = []
    for where, canary in said.canaries.items():
        places = [name for name, data in said.texts.items() if canary.encode() in data]
        reliability.tried("escapes", "a secret in what a build writes", lost=len(places))
        found += [f"that of {where} is in {place}" for place in places]
    assert not found


def test_the_scripts_did_look_and_did_have_what_they_declare(said: Said) -> None:
    looked = len(re.findall(r"the secret is \*\*\*\.", said.log))
    assert looked == 6
    # the proxy's address is there, its password is not
    assert re.search(r"has http_proxy=http://ann:\*\*\*@127\.0\.0\.1", said.log)


def test_the_events_show_that_something_is_masked(said: Said) -> None:
    lines = [json.loads(line) for line in said.texts["build, stderr"].splitlines()]
    assert any("***" in json.dumps(line) for line in lines)


def test_what_a_flavour_declares_in_reads_is_there(image_kit: ImageKit, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config" / "greeting").mkdir(parents=True)
    (home / ".config" / "greeting" / "text").write_text("hello from home\n")
    (home / ".config" / "other").write_text("not for you\n")
    look = (
        "#!/bin/sh\ncat ~/.config/greeting/text\nls -A ~ ~/.config\necho x >~/.config/greeting/written || echo kept\n"
    )
    image_kit.flavour("greeting", {"flavour.toml": 'reads = ["~/.config/greeting"]\n', "extra-data.d/50-look": look})
    log = image_kit.build("greeting", environment={"HOME": str(home)}).log
    assert "hello from home\n" in log
    assert "other" not in log
    assert "kept\n" in log
    assert not (home / ".config" / "greeting" / "written").exists()


def test_a_file_that_the_user_names_is_there_and_one_that_the_flavour_presumes_is_not(
    image_kit: ImageKit, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("given", "presumed"):
        (home / name).write_text(f"the {name} file\n")
    parameters = f'[parameters.first]\ntype = "path"\n[parameters.second]\ntype = "path"\ndefault = "{home}/presumed"\n'
    image_kit.flavour(
        "naming", {"flavour.toml": parameters, "extra-data.d/50-look": '#!/bin/sh\ncat "$FIRST" "$SECOND" || true\n'}
    )
    log = image_kit.build("naming", environment={"HOME": str(home)}, settings={"naming.first": f"{home}/given"}).log
    assert "the given file\n" in log
    assert "the presumed file\n" not in log
