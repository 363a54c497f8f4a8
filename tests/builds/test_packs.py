"""What flavours do on the toy operating system, with the scripts that a real image gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.errors import ImagewrightError
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

PROXIES = {"http_proxy": "http://proxy.example:3128", "HTTPS_PROXY": "http://secure.example:3129"}
SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----\nthis is nobody's business\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a private key and without authorised ones."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh/id_ed25519").write_text(SECRET)
    return home


def build(kit: ImageKit, home: Path, **environment: str) -> Built:
    """Build with `local-config`, in a tree that has apt's folder of settings."""
    kit.flavour("apt-folder", {"pre-install.d/10-apt": "#!/bin/sh\nmkdir -p /etc/apt/apt.conf.d\n"})
    return kit.build("apt-folder", "local-config", environment={"HOME": str(home), **environment})


def test_the_callers_proxies_reach_logins_and_apt_whichever_way_they_are_spelt(image_kit: ImageKit, home: Path) -> None:
    tree = build(image_kit, home, **PROXIES, no_proxy="one.example, 10.0.0.0/8,two.example").tree
    assert tree.read("etc/environment").splitlines() == [
        'http_proxy="http://proxy.example:3128"',
        'https_proxy="http://secure.example:3129"',
        'no_proxy="one.example, 10.0.0.0/8,two.example"',
    ]
    settings = tree.read("etc/apt/apt.conf.d/60local-config").splitlines()
    assert settings[:2] == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::Proxy "http://secure.example:3129";',
    ]
    for host in ("one.example", "two.example"):
        assert f'Acquire::http::Proxy::{host} "DIRECT";' in settings
        assert f'Acquire::https::Proxy::{host} "DIRECT";' in settings
    assert "10.0.0.0" not in "".join(settings)


def test_the_lower_case_spelling_counts_where_both_are_set(image_kit: ImageKit, home: Path) -> None:
    tree = build(image_kit, home, http_proxy="http://lower.example:1", HTTP_PROXY="http://upper.example:1").tree
    assert tree.read("etc/environment") == 'http_proxy="http://lower.example:1"\n'


def test_a_caller_without_proxies_and_keys_gets_an_image_all_the_same(image_kit: ImageKit, home: Path) -> None:
    tree = build(image_kit, home).tree
    assert not tree.exists("etc/apt/apt.conf.d/60local-config")
    assert not tree.exists("root/.ssh/authorized_keys")


def test_a_private_key_of_the_caller_is_nowhere_in_the_image_or_its_log(image_kit: ImageKit, home: Path) -> None:
    built = build(image_kit, home, **PROXIES)
    (archive,) = (path for path in built.paths if path.suffix == ".tar")
    assert b"nobody's business" not in archive.read_bytes()
    assert "nobody's business" not in built.log


@pytest.mark.parametrize("flavour", ["local-config", "devuser"])
def test_an_image_for_publishing_refuses_what_is_the_callers_own(image_kit: ImageKit, flavour: str) -> None:
    with pytest.raises(ImagewrightError, match=flavour):
        image_kit.plan(flavour, for_publishing=True)
