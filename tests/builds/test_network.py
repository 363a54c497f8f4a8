"""Networks: none if offline, a proxy as the only way out, and nothing of either in the image."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from imagewright.sandbox.link import obstacle
from imagewright.testing.kit import ImageKit
from imagewright.testing.repository import repository


@dataclass(slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that knows two hosts which no name server knows; ``asked`` is what it was asked for."""

    address: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    known = {f"http://mirror.invalid/toy/{name}": content for name, content in repository().items()}
    known["http://elsewhere.invalid/greeting"] = b"greetings through the proxy\n"
    it = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            it.asked.append(self.path)
            content = known.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        it.address = f"127.0.0.1:{server.server_port}"
        yield it
        server.shutdown()


ASK = "wget -q -O - http://elsewhere.invalid/greeting"
ASK_ON_HOST = (
    "#!/usr/bin/python3\nimport urllib.request\n"
    "print(urllib.request.urlopen('http://elsewhere.invalid/greeting').read().decode())\n"
)


def test_a_proxy_that_is_the_only_way_out_serves_downloads_and_hooks(image_kit: ImageKit, proxy: Proxy) -> None:
    phases = ("pre-install", "install", "post-install", "finalise")
    scripts = {f"{phase}.d/10-ask-{phase}": f"#!/bin/sh\nset -eu\n{ASK}\n" for phase in phases}
    image_kit.flavour("asking", {**scripts, "extra-data.d/10-ask": ASK_ON_HOST})
    built = image_kit.build(
        "asking",
        mirror="http://mirror.invalid/toy",
        environment={"http_proxy": f"http://{proxy.address}", "no_proxy": "localhost"},
        types=("tar", "raw"),
        image_size=64 * 2**20,
    )
    assert built.log.count("greetings through the proxy") == len(phases) + 1
    assert "http://mirror.invalid/toy/kernel_1.0.tar" in proxy.asked
    for path in built.paths:
        assert proxy.address.encode() not in path.read_bytes(), path.name


def test_without_the_proxy_there_is_no_way_out(image_kit: ImageKit) -> None:
    image_kit.fails(mirror="http://mirror.invalid/toy", match="exit status")


def test_upper_case_proxy_variables_serve_too(image_kit: ImageKit, proxy: Proxy) -> None:
    image_kit.flavour("asking", {"install.d/10-ask": f"#!/bin/sh\nset -eu\n{ASK}\n"})
    built = image_kit.build("asking", environment={"HTTP_PROXY": f"http://{proxy.address}"})
    assert "greetings through the proxy" in built.log


SHOW = "#!/bin/sh\necho interfaces: $(sed -n 's/^ *\\([^:]*\\):.*/\\1/p' /proc/net/dev | sort)\n"


@pytest.mark.parametrize("phase", ["extra-data", "pre-install", "install", "cleanup"])
def test_an_offline_build_has_no_network_in_its_hooks(image_kit: ImageKit, phase: str) -> None:
    image_kit.flavour("looking", {f"{phase}.d/10-look": SHOW})
    log = image_kit.build("looking", offline=True).log
    assert "interfaces: lo\n" in log


def test_an_offline_build_does_not_even_reach_the_proxy(image_kit: ImageKit, proxy: Proxy) -> None:
    image_kit.flavour("asking", {"install.d/10-ask": f"#!/bin/sh\n{ASK} || echo no way out\n"})
    built = image_kit.build("asking", offline=True, environment={"http_proxy": f"http://{proxy.address}"})
    assert "no way out" in built.log
    assert proxy.asked == []


def test_a_build_that_is_given_the_hosts_network_sees_it(image_kit: ImageKit) -> None:
    image_kit.flavour("looking", {"install.d/10-look": SHOW})
    names = sorted(line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    assert f"interfaces: {' '.join(names)}\n" in image_kit.build("looking", network="host").log


def test_an_online_build_has_a_network_of_its_own_where_the_host_has_what_it_takes(image_kit: ImageKit) -> None:
    image_kit.flavour("looking", {"install.d/10-look": SHOW, "extra-data.d/10-look": SHOW})
    reason = obstacle()
    log = image_kit.build("looking").log
    if reason:
        # the host's, as before; who insists is told what is missing
        image_kit.fails("looking", network="own", no_cache=True, match=re.escape(reason))
    else:
        assert log.count("interfaces: lo net0\n") == 2


def test_names_are_resolved_as_on_the_host_and_nothing_of_it_stays(image_kit: ImageKit) -> None:
    image_kit.flavour("looking", {"install.d/10-look": "#!/bin/sh\necho has: $(grep -c . /etc/resolv.conf)\n"})
    built = image_kit.build("looking")
    resolv = Path("/etc/resolv.conf")
    if resolv.exists() and resolv.read_text().strip():
        assert f"has: {sum(1 for line in resolv.read_text().splitlines() if line)}" in built.log
    assert not built.exists("etc/resolv.conf")


def test_the_callers_environment_does_not_leak_into_the_target(image_kit: ImageKit) -> None:
    image_kit.flavour("looking", {"install.d/10-look": "#!/bin/sh\nenv | sed 's/^/has /'\n"})
    leaky = {
        "TMPDIR": str(image_kit.folder),
        "VIRTUAL_ENV": "/somewhere",
        "LC_ALL": "tr_TR.UTF-8",
        "SSH_AUTH_SOCK": "/agent",
        "PYTHONPATH": "/python",
        "LD_PRELOAD": "",
        "PATH": os.environ["PATH"],
    }
    log = image_kit.build("looking", environment=leaky).log
    names = {line.split()[1].partition("=")[0] for line in log.splitlines() if line.startswith("has ")}
    assert not names & {"TMPDIR", "VIRTUAL_ENV", "SSH_AUTH_SOCK", "PYTHONPATH", "LD_PRELOAD"}
    assert "has LC_ALL=C.UTF-8" in log
    assert "has PATH=" in log
    assert "/usr/sbin" in next(line for line in log.splitlines() if line.startswith("has PATH="))


SWEEP = """#!/bin/sh
set -eu
chmod -R go-w /etc /usr/bin /usr/lib
chown -R root:root /etc
chmod 700 /etc/kept.d
"""


def test_what_serves_the_build_stays_out_of_the_image_whatever_a_step_does_to_modes(
    image_kit: ImageKit, proxy: Proxy
) -> None:
    image_kit.flavour("sweeping", {"static/etc/kept.d/kept": "kept\n", "install.d/50-sweep": SWEEP})
    built = image_kit.build(
        "sweeping", environment={"http_proxy": f"http://{proxy.address}"}, types=("tar", "raw"), image_size=2**26
    )
    for path in ("etc/toypm.conf", "usr/bin/toypm", "usr/lib/toypm", "etc/resolv.conf"):
        assert not built.exists(path), path
    # what the step meant is there
    assert built.mode("etc/kept.d") == 0o700
    assert built.read("etc/kept.d/kept") == "kept\n"
    assert built.exists("usr/bin/busybox")
    for path in built.paths:
        assert proxy.address.encode() not in path.read_bytes(), path.name


def test_a_resolver_that_a_flavour_writes_stays_even_if_it_is_the_hosts(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "resolving",
        {"install.d/50-write": "#!/bin/sh\nset -eu\ncp /etc/resolv.conf /tmp/it\ncat /tmp/it >/etc/resolv.conf\n"},
    )
    built = image_kit.build("resolving", allow=("resolver",))
    assert built.read("etc/resolv.conf") == Path("/etc/resolv.conf").read_text()
