"""What lies beside an image for who must trust it, from the options to another program's verdict."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from imagewright.supplychain.request import Beside
from imagewright.supplychain.signing import Signers
from imagewright.testing.kit import ImageKit

pytestmark = pytest.mark.build

ALL = ["demo.tar", "demo.manifest.json", "demo.cdx.json", "demo.provenance.json", "demo.sha256", "demo.sha256.sig"]

COPYRIGHT = "Format: https://example.org/copyright-format/1.0/\n\nFiles: *\nLicense: Expat\n"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; its public half has the ending ``.pub``."""
    made = Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    form = serialization.Encoding.PEM
    path.write_bytes(made.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public = made.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


def test_everything_is_written_signed_and_verified_by_the_commands(image_kit: ImageKit, key: Path) -> None:
    # one option by flag, one by variable, two by the project file
    (image_kit.output / "imagewright.toml").write_text(f'provenance = true\nsign-key = "{key}"\n')
    arguments = ["-t", "tar", "-o", "demo", "--skip-base", "toy"]
    done = image_kit.command("disk-image-create", *arguments, IMAGEWRIGHT_SBOM="cyclonedx")
    assert [Path(line).name for line in done.stdout.splitlines()] == ALL

    envelope = json.loads((image_kit.output / "demo.provenance.json").read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    bill = json.loads((image_kit.output / "demo.cdx.json").read_text())
    assert {one["name"] for one in bill["components"]} == {"kernel", "toy"}

    public = str(key.with_suffix(".pub"))
    told = image_kit.command("imagewright", "verify-signature", "demo.tar", "--verify-key", public).stdout
    assert "demo.tar is as it was signed" in told
    assert "the provenance statement is signed by" in told
    found = json.loads(
        image_kit.command("imagewright", "verify-signature", "demo.sha256", "--verify-key", public, "--json").stdout
    )
    assert set(found["files"]) == set(ALL[:4])

    with (image_kit.output / "demo.cdx.json").open("a") as stream:
        stream.write("\n")
    refused = image_kit.command("imagewright", "verify-signature", "demo.sha256", "--verify-key", public, check=False)
    assert refused.returncode == 1
    assert "demo.cdx.json is not the file that was signed" in refused.stderr


def test_the_same_build_has_the_same_files_beside_it_and_one_that_asks_for_none_leaves_none(
    image_kit: ImageKit, key: Path
) -> None:
    script = f"#!/bin/sh\nmkdir -p /usr/share/doc/kernel\ncat >/usr/share/doc/kernel/copyright <<END\n{COPYRIGHT}END\n"
    image_kit.flavour("doc", {"install.d/10-doc": script})
    beside = Beside(bill="cyclonedx", provenance=True, signers=Signers(file=key))
    first = {path.name: path.read_bytes() for path in image_kit.build("doc", beside=beside).paths}
    again = {path.name: path.read_bytes() for path in image_kit.build("doc", beside=beside).paths}
    anew = {path.name: path.read_bytes() for path in image_kit.build("doc", beside=beside, no_cache=True).paths}
    assert first == again == anew
    assert len(first) == len(ALL)
    (kernel,) = (one for one in json.loads(first["image.cdx.json"])["components"] if one["name"] == "kernel")
    assert kernel["licenses"] == [{"license": {"id": "MIT"}}]

    mine = image_kit.output / "image.sha256.asc"
    mine.write_text("a signature of the user's own")
    image_kit.build("doc", beside=beside)
    assert mine.exists()

    plain = image_kit.build("doc")
    assert {path.name for path in image_kit.output.iterdir()} == {path.name for path in plain.paths}
    assert len(plain.paths) == 3


def test_a_key_that_cannot_sign_ends_the_build_before_its_work(image_kit: ImageKit, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no key\n")
    done = image_kit.command(
        *(
            "disk-image-create",
            "-t",
            "tar",
            "-o",
            "demo",
            "--skip-base",
            "--sign-key",
            str(tmp_path / "bad.pem"),
            "toy",
        ),
        check=False,
    )
    assert done.returncode == 2
    assert "holds no private key" in done.stderr
    assert "openssl genpkey" in done.stderr
    assert list(image_kit.output.iterdir()) == []


def test_a_ramdisk_has_the_same_papers(image_kit: ImageKit, key: Path) -> None:
    image_kit.flavour("small", {"init": "echo small\n"})
    options = ["-o", "small.ramdisk", "--sbom", "spdx", "--provenance", "--sign-key", str(key)]
    done = image_kit.command("ramdisk-image-create", *options, "--operating-system", "toy", "small")
    written = {Path(line).name for line in done.stdout.splitlines()}
    papers = {"small.spdx.json", "small.provenance.json", "small.sha256", "small.sha256.sig", "small.manifest.json"}
    assert written == {"small.ramdisk", "small.kernel"} | papers
    public = str(key.with_suffix(".pub"))
    told = image_kit.command("imagewright", "verify-signature", "small.ramdisk", "--verify-key", public).stdout
    assert "small.ramdisk is as it was signed" in told
    envelope = json.loads((image_kit.output / "small.provenance.json").read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert {one["name"] for one in statement["subject"]} == written - {
        "small.provenance.json",
        "small.sha256",
        "small.sha256.sig",
    }
