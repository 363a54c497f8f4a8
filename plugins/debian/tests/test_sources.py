from __future__ import annotations

from pathlib import Path

import pytest
from imagewright_debian.sources import (
    Archive,
    archive_of,
    host_mirrors,
    image_archive_of,
    one_line_sources,
    sources_file,
)

DEB822 = """\
# Debian, as its installer writes it
Types: deb
# a comment within
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """An empty /etc/apt."""
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def archive(host: Path, mirror: str = "", security: str = "") -> Archive:
    return archive_of(mirror=mirror, security=security, components=("main",), host=host)


def test_the_hosts_deb822_sources_are_used(host: Path) -> None:
    (host / "sources.list.d/debian.sources").write_text(DEB822)
    assert host_mirrors(host) == ("http://mirror.example/debian", "http://mirror.example/debian-security")


def test_the_hosts_one_line_sources_are_used(host: Path) -> None:
    (host / "sources.list").write_text(
        "# deb http://commented.example/debian trixie main\n"
        "deb-src http://sources.example/debian trixie main\n"
        "deb [ arch=amd64 ] https://mirror.example/debian trixie main contrib # a remark\n"
        "deb https://security.example/debian-security trixie-security main\n"
    )
    assert host_mirrors(host) == ("https://mirror.example/debian", "https://security.example/debian-security")


@pytest.mark.parametrize(
    "line",
    [
        "deb https://vendor.example/chrome/deb stable main",
        "deb https://download.example/linux/debian bookworm stable",
        "deb https://user:word@mirror.example/debian bookworm main",
        "deb file:/srv/debian bookworm main",
        "deb https://archive.example/ubuntu noble main",
    ],
)
def test_what_is_not_debians_own_archive_for_everybody_is_left_alone(host: Path, line: str) -> None:
    (host / "sources.list").write_text(f"{line}\n")
    assert host_mirrors(host) == ("", "")


@pytest.mark.parametrize("change", ["Enabled: no\n", "Types: deb-src\n"])
def test_a_disabled_source_and_one_of_source_packages_are_left_alone(host: Path, change: str) -> None:
    text = DEB822.replace("Types: deb\n", change if "Types" in change else f"Types: deb\n{change}")
    (host / "sources.list.d/debian.sources").write_text(text)
    assert host_mirrors(host) == ("", "")


def test_without_any_word_mmdebstrap_takes_its_own_default(host: Path) -> None:
    found = archive(host)
    assert found == Archive(main="", security="", components=("main",))
    assert one_line_sources(found, "trixie") == ()
    assert sources_file(found, "trixie") == ""


def test_a_named_mirror_comes_before_the_hosts_and_security_updates_stay_the_hosts(host: Path) -> None:
    (host / "sources.list.d/debian.sources").write_text(DEB822)
    found = archive(host, "http://named.example/debian/")
    assert (found.main, found.security) == ("http://named.example/debian", "http://mirror.example/debian-security")


def test_a_named_mirror_alone_has_no_security_updates(host: Path) -> None:
    assert not archive(host, "http://named.example/debian").security


def test_security_updates_can_be_named_and_done_without(host: Path) -> None:
    assert archive(host, security="http://named.example/security/").security == "http://named.example/security"
    assert not archive(host, security="none").security


def test_the_image_names_its_own_mirror_and_the_security_updates_beside_it(host: Path) -> None:
    image = image_archive_of(archive(host), mirror="http://image.example/debian/", security="")
    assert (image.main, image.security) == ("http://image.example/debian", "http://image.example/debian-security")


def test_an_image_without_a_mirror_of_its_own_names_the_one_built_from_without_its_login() -> None:
    built = Archive(main="https://me:word@in.example/debian", security="https://in.example/s", components=("main",))
    image = image_archive_of(built, mirror="", security="")
    assert (image.main, image.security) == ("https://in.example/debian", "https://in.example/s")


def test_both_forms_of_sources_name_release_updates_and_security(host: Path) -> None:
    main, security = "http://named.example/debian", "http://named.example/debian-security"
    found = archive_of(mirror=main, security=security, components=("main", "contrib"), host=host)
    assert one_line_sources(found, "trixie") == (
        f"deb {main} trixie main contrib",
        f"deb {main} trixie-updates main contrib",
        f"deb {security} trixie-security main contrib",
    )
    paragraphs = sources_file(found, "trixie").split("\n\n")
    assert len(paragraphs) == 2
    assert "Suites: trixie trixie-updates\n" in paragraphs[0]
    assert all("Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in one for one in paragraphs)


def test_a_file_of_sources_that_is_written_is_read_again(host: Path) -> None:
    found = archive(host, "http://named.example/debian", "http://named.example/debian-security")
    (host / "sources.list.d/debian.sources").write_text(sources_file(found, "trixie"))
    assert host_mirrors(host) == (found.main, found.security)
