from __future__ import annotations

from pathlib import Path

from imagewright_debian.access import authorities, settings_of

DUMP = """\
APT "";
APT::Architecture "amd64";
Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3142";
Acquire::http::Proxy::direct.example "DIRECT";
Acquire::https::Proxy "";
Acquire::Check-Date "false";
Acquire::Languages "none";
"""


def test_the_hosts_proxy_and_its_exceptions_serve_the_build() -> None:
    assert settings_of(DUMP, {}) == (
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::http::Proxy::direct.example "DIRECT";',
        'Acquire::Check-Date "false";',
    )


def test_the_callers_own_proxy_counts_more_than_the_hosts() -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        assert settings_of(DUMP, {name: "http://mine.example"}) == ('Acquire::Check-Date "false";',)


def test_a_proxy_that_a_program_of_the_host_finds_is_asked_for(tmp_path: Path) -> None:
    program = tmp_path / "detect"
    program.write_text("#!/bin/sh\necho http://found.example:8080\n")
    program.chmod(0o755)
    dump = f'Acquire::http::Proxy-Auto-Detect "{program}";\n'
    assert settings_of(dump, {}) == ('Acquire::http::Proxy "http://found.example:8080";',)
    assert settings_of(dump, {"http_proxy": "http://mine.example"}) == ()


def test_a_program_that_finds_no_proxy_is_no_failure(tmp_path: Path) -> None:
    program = tmp_path / "detect"
    program.write_text("#!/bin/sh\necho DIRECT\n")
    program.chmod(0o755)
    assert settings_of(f'Acquire::http::ProxyAutoDetect "{program}";\n', {}) == ()
    assert settings_of('Acquire::http::Proxy-Auto-Detect "/nowhere/detect";\n', {}) == ()


def test_a_further_authority_does_not_replace_those_that_everybody_trusts() -> None:
    bundle = authorities("-----BEGIN CERTIFICATE-----\nown\n-----END CERTIFICATE-----")
    assert "own" in bundle
    known = Path("/etc/ssl/certs/ca-certificates.crt")
    if known.exists():
        assert known.read_text() in bundle
