"""How jobs inside resolve names, and that the image's own /etc/resolv.conf stays as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HOST = Path("/etc/resolv.conf")


@pytest.fixture(autouse=True)
def _host_resolves() -> None:
    if not HOST.exists() or not HOST.read_text().strip():
        pytest.skip("this host has no /etc/resolv.conf")


def shown(bench, **options) -> str:
    return bench.out("cat /etc/resolv.conf", **options).strip()


def host() -> str:
    return "\n".join(HOST.read_text().splitlines()).strip()


def layers_are_empty(bench, name: str = "top") -> bool:
    return not any(bench.layer(name).rglob("*"))


def test_a_tree_without_one_sees_the_hosts(bench) -> None:
    assert shown(bench) == host()
    assert layers_are_empty(bench)


def test_a_tree_with_one_sees_the_hosts_and_keeps_its_own(bench) -> None:
    own = bench.layer("base/etc/resolv.conf")
    own.write_text("nameserver 192.0.2.1\n")
    bench.sandbox.own(own)
    assert shown(bench) == host()
    assert own.read_text() == "nameserver 192.0.2.1\n"
    assert layers_are_empty(bench)
    assert shown(bench, network=False) == "nameserver 192.0.2.1"


@pytest.mark.parametrize(
    "target",
    ["/run/systemd/resolve/stub-resolv.conf", "../run/resolv.conf", "/usr/lib/dangling", "../usr/lib/real.conf"],
)
def test_a_link_is_followed_or_covered(bench, target: str) -> None:
    real = bench.layer("base/usr/lib")
    real.mkdir(parents=True)
    (real / "real.conf").write_text("nameserver 192.0.2.1\n")
    bench.layer("base/etc/resolv.conf").symlink_to(target)
    bench.sandbox.own(bench.layer("base"))
    assert shown(bench) == host()
    assert layers_are_empty(bench)
    assert os.readlink(bench.layer("base/etc/resolv.conf")) == target
    assert (real / "real.conf").read_text() == "nameserver 192.0.2.1\n"


def test_one_that_a_layer_removed_is_shown_all_the_same(bench) -> None:
    bench.layer("base/etc/resolv.conf").write_text("")
    bench.sandbox.own(bench.layer("base"))
    bench.out("rm /etc/resolv.conf", upper="removed", network=False)
    assert shown(bench, lower=("removed", "base")) == host()
    assert layers_are_empty(bench)
    assert bench.sh("[ -e /etc/resolv.conf ]", lower=("removed", "base"), network=False, upper="x") != 0


def test_one_in_a_folder_that_a_layer_made_anew_is_not_taken_for_the_trees(bench) -> None:
    bench.layer("base/etc/resolv.conf").write_text("")
    bench.sandbox.own(bench.layer("base"))
    bench.out("rm -r /etc; mkdir /etc; echo root:x:0:0::/:/bin/sh > /etc/passwd", upper="anew", network=False)
    assert shown(bench, lower=("anew", "base")) == host()
    assert layers_are_empty(bench)


def test_etc_looks_as_it_does_without_it(bench) -> None:
    bench.out("chown 3:4 /etc; chmod 751 /etc; touch -d '2001-02-03 04:05:06' /etc", upper="one", network=False)
    look = "stat -c '%u:%g %a %Y' /etc"
    lower = ("one", "base")
    assert bench.out(look, lower=lower, upper="x") == bench.out(look, lower=lower, upper="y", network=False)
    bench.out("touch /etc/new", lower=lower, upper="copied")
    assert bench.out("stat -c '%u:%g %a' /etc", lower=("copied", *lower), upper="z", network=False) == "3:4 751"


def test_what_a_job_writes_there_stays_out_of_the_image(bench) -> None:
    bench.sh("echo nameserver 192.0.2.9 > /etc/resolv.conf")
    assert layers_are_empty(bench)
    assert "192.0.2.9" not in HOST.read_text()
