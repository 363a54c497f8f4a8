"""Bills of materials that the formats' own validators take, the same bytes every time, and what they rest on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from imagewright.supplychain import cyclonedx, spdx
from imagewright.supplychain.inventory import inventory_of, purl_of
from imagewright.supplychain.licences import spdx_identifier
from imagewright.supplychain.looking import licences_of
from imagewright.supplychain.provenance import statement_of
from packageurl import PackageURL

DEBIAN = {
    "id": "debian",
    "version": "13",
    "like": [],
    "licences": {"adduser": ["Expat", "GPL-2+"], "libstdc++6": ["GPL-3 with exception"]},
}

MANIFEST: dict[str, Any] = {
    "imagewright": "0.1.0",
    "image": {"id": "web", "version": "20261128-5971f167", "size": 2**31},
    "source_date_epoch": 1_795_834_381,
    "artefacts": [{"file": "web.qcow2", "size": 5, "sha256": "a" * 64}],
    "facts": {"base image": f"sha256:{'b' * 64}", "base image from": "https://images.example/root.tar.xz"},
    "plan": {
        "digest": "c" * 64,
        "arch": "amd64",
        "release": "trixie",
        "packages": [{"name": "adduser"}],
        "flavours": [
            {"name": name, "parameters": {}, "distribution": "imagewright-debian", "version": "0.1.0"}
            for name in ("debian", "vm")
        ],
    },
    "disk": {"tools": {"mke2fs": "mke2fs 1.47.0"}},
    "packages": [
        {"name": "adduser", "version": "3.152", "architecture": "all", "sha256": "d" * 64},
        {"name": "libstdc++6", "version": "14.2.0-19", "architecture": "amd64"},
        {"name": "openssl", "version": "1:3.5~rc+1", "architecture": "amd64"},
    ],
}


def test_a_package_of_debian_has_debians_package_url() -> None:
    adduser, library, odd = (purl_of(package, DEBIAN) for package in MANIFEST["packages"])
    assert adduser == "pkg:deb/debian/adduser@3.152?arch=all&distro=debian-13"
    assert PackageURL.from_string(library).name == "libstdc++6"
    assert PackageURL.from_string(odd).version == "1:3.5~rc+1"


def test_a_system_like_debian_has_its_own_name_space_and_others_are_generic() -> None:
    (package, *_others) = MANIFEST["packages"]
    ubuntu = {"id": "ubuntu", "version": "26.04", "like": ["debian"]}
    assert purl_of(package, ubuntu) == "pkg:deb/ubuntu/adduser@3.152?arch=all&distro=ubuntu-26.04"
    assert purl_of(package, {"id": "toy"}) == "pkg:generic/toy/adduser@3.152?arch=all"
    assert purl_of(package, {}) == "pkg:generic/adduser@3.152?arch=all"


def test_the_bill_in_cyclonedx_is_valid_and_always_the_same() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    inventory = inventory_of(MANIFEST, DEBIAN)
    content = cyclonedx.written(inventory)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    assert content == cyclonedx.written(inventory_of(json.loads(json.dumps(MANIFEST)), DEBIAN))
    document = json.loads(content)
    by_name = {one["name"]: one for one in document["components"]}
    assert set(by_name) == {"adduser", "libstdc++6", "openssl", "debian"}
    assert by_name["adduser"]["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
    licences = [one["license"] for one in by_name["adduser"]["licenses"]]
    assert sorted(licences, key=str) == [{"id": "GPL-2.0-or-later"}, {"id": "MIT"}]
    assert by_name["libstdc++6"]["licenses"] == [{"license": {"name": "GPL-3 with exception"}}]
    (image,) = document["metadata"]["component"]["components"]
    assert (image["name"], image["hashes"][0]["content"]) == ("web.qcow2", "a" * 64)


def test_the_bill_in_spdx_is_valid_and_always_the_same(tmp_path: Path) -> None:
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    content = spdx.written(inventory_of(MANIFEST, DEBIAN))
    (tmp_path / "web.spdx.json").write_bytes(content)
    document = parse_file(str(tmp_path / "web.spdx.json"))
    assert validate_full_spdx_document(document) == []
    assert content == spdx.written(inventory_of(MANIFEST, DEBIAN))
    assert [package.name for package in document.packages] == ["web", "adduser", "libstdc++6", "openssl"]
    assert document.packages[1].external_references[0].locator.startswith("pkg:deb/debian/adduser@3.152")


def test_the_statement_is_of_the_form_that_slsa_asks_for_and_names_no_time_host_or_user() -> None:
    statement = statement_of(MANIFEST, inventory_of(MANIFEST, DEBIAN), [("web.qcow2", "a" * 64)])
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "web.qcow2", "digest": {"sha256": "a" * 64}}]
    definition, details = (statement["predicate"][name] for name in ("buildDefinition", "runDetails"))
    # what SLSA requires: buildType, externalParameters, builder.id
    assert definition["buildType"]
    assert [one["name"] for one in definition["externalParameters"]["flavours"]] == ["debian", "vm"]
    assert details["builder"]["id"]
    uris = {one["uri"]: one.get("digest") for one in definition["resolvedDependencies"]}
    assert uris["https://images.example/root.tar.xz"] == {"sha256": "b" * 64}
    assert uris["pkg:pypi/imagewright-debian@0.1.0"] is None
    assert uris["pkg:deb/debian/adduser@3.152?arch=all&distro=debian-13"] == {"sha256": "d" * 64}
    text = json.dumps(statement)
    assert [word for word in ("startedOn", "finishedOn", "invocationId", os.getcwd()) if word in text] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("This package is free software.\nLicense: GPL\n", []),
        (
            "Format: https://example.org/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\n"
            "Files: x\nlicense:  Expat \n\nLicense: GPL-2+\n more\n",
            ["Expat", "GPL-2+"],
        ),
    ],
)
def test_only_copyright_files_for_machines_are_read(text: str, found: list[str]) -> None:
    assert licences_of(text) == found


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-3", "GPL-3.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("AGPL-3", "AGPL-3.0-only"),
        ("Expat", "MIT"),
        ("GPL-2+ with OpenSSL exception", ""),
        ("public-domain", ""),
    ],
)
def test_a_licence_has_the_name_of_the_spdx_list_only_where_both_mean_the_same(name: str, identifier: str) -> None:
    assert spdx_identifier(name) == identifier
