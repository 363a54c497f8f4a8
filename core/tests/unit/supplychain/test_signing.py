"""Signatures are made by keys that the caller names, checked by other programs too, and trusted only by name."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagewright.errors import ImagewrightError, UsageError, VerificationFailed
from imagewright.supplychain import ed25519, envelopes, openpgp
from imagewright.supplychain.attesting import attest, sign
from imagewright.supplychain.request import Beside
from imagewright.supplychain.signing import Signers
from imagewright.supplychain.verifying import Trusted, verify
from imagewright.testing.reliability import Recorder

from .conftest import Gpg, Keys

NONE: Mapping[str, str] = {}
PAPERS = "sums, signatures and provenance statements"


def signed_image(folder: Path, signers: Signers, environment: Mapping[str, str] = NONE) -> Path:
    """An image with sums and signatures beside it."""
    name = "web.qcow2"
    image = folder / name
    image.write_bytes(b"an image")
    sums = folder / "web.sha256"
    sums.write_text(f"{hashlib.sha256(b'an image').hexdigest()}  {name}\n")
    sign(signers, sums, environment)
    return image


@pytest.fixture
def image(tmp_path: Path, keys: Keys) -> Path:
    return signed_image(tmp_path, Signers(file=keys.private))


def test_the_same_text_has_the_same_signature_in_both_forms_of_the_key(keys: Keys) -> None:
    one, other = (ed25519.private_key(path) for path in (keys.private, keys.ssh_private))
    assert one.sign(b"text") == one.sign(b"text") == other.sign(b"text")
    assert one.name == other.name


@pytest.mark.skipif(not shutil.which("openssl"), reason="the host lacks openssl")
def test_openssl_checks_the_signature_too(image: Path, keys: Keys) -> None:
    sums = image.with_name("web.sha256")
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys.public), "-rawin", "-in", str(sums)]
    done = subprocess.run([*command, "-sigfile", f"{sums}.sig"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gpg_checks_the_signature_too(tmp_path: Path, gpg: Gpg) -> None:
    signed_image(tmp_path, Signers(gpg="ann@desk"), gpg.environment)
    command = ["gpg", "--verify", str(tmp_path / "web.sha256.asc"), str(tmp_path / "web.sha256")]
    subprocess.run(command, env=gpg.environment, capture_output=True, check=True)


@pytest.mark.parametrize("form", ["public", "ssh_public"])
@pytest.mark.parametrize("named", ["web.qcow2", "web.sha256"])
def test_a_signed_image_is_verified_by_any_form_of_the_key(image: Path, keys: Keys, form: str, named: str) -> None:
    found = verify(image.with_name(named), Trusted.read([getattr(keys, form)]))
    assert found.signers == (ed25519.private_key(keys.private).name,)
    assert found.files == ("web.qcow2",)


def test_a_signature_of_gpgs_is_verified_by_a_keyring_in_either_form(tmp_path: Path, gpg: Gpg) -> None:
    image = signed_image(tmp_path, Signers(gpg=gpg.fingerprint), gpg.environment)
    armoured = tmp_path / "key.asc"
    armoured.write_bytes(
        subprocess.run(
            ["gpg", "--armor", "--export", gpg.fingerprint], env=gpg.environment, capture_output=True, check=True
        ).stdout
    )
    for keyring in (gpg.keyring, armoured):
        assert verify(image, Trusted.read([keyring])).signers == (gpg.fingerprint,)


def refused(file: Path, *keys: Path) -> str:
    with pytest.raises(VerificationFailed) as failure:
        verify(file, Trusted.read(keys))
    return failure.value.reference


def test_a_changed_image_is_refused(image: Path, keys: Keys) -> None:
    image.write_bytes(b"an Image")
    assert refused(image, keys.public) == "wrong-digest"
    assert refused(image.with_name("web.sha256"), keys.public) == "wrong-digest"


def test_changed_sums_are_refused_though_they_fit_the_image(image: Path, keys: Keys) -> None:
    image.write_bytes(b"an Image")
    digest = hashlib.sha256(b"an Image").hexdigest()
    image.with_name("web.sha256").write_text(f"{digest}  web.qcow2\n")
    assert refused(image, keys.public) == "untrusted-signature"


def test_a_strangers_signature_is_refused(image: Path, keys: Keys, gpg: Gpg) -> None:
    assert refused(image, keys.stranger) == "untrusted-signature"
    assert refused(image, keys.stranger, gpg.keyring) == "untrusted-signature"


def test_sums_without_a_signature_are_refused(image: Path, keys: Keys) -> None:
    image.with_name("web.sha256.sig").unlink()
    assert refused(image, keys.public) == "not-signed-sums"


def test_an_absent_file_is_refused_only_where_all_were_asked_for(image: Path, keys: Keys) -> None:
    sums = image.with_name("web.sha256")
    sums.write_text(sums.read_text() + f"{'0' * 64}  web.raw\n")
    sign(Signers(file=keys.private), sums, NONE)
    assert refused(sums, keys.public) == "signed-file-absent"
    assert verify(image, Trusted.read([keys.public])).absent == ("web.raw",)


@pytest.mark.parametrize("name", ["web.qcow2", "web.sha256"])
def test_a_file_that_is_not_there_is_never_right(image: Path, keys: Keys, name: str) -> None:
    image.with_name(name).unlink()
    with pytest.raises(UsageError, match="there is no file"):
        verify(image.with_name(name), Trusted.read([keys.public]))


def test_a_file_that_the_sums_do_not_list_is_refused(image: Path, keys: Keys) -> None:
    other = image.with_name("web.raw")
    other.write_bytes(b"x")
    assert refused(other, keys.public) == "file-not-signed"


@pytest.mark.parametrize("line", ["../web.qcow2", "/etc/passwd", "", "..", "web.qcow2"])
def test_sums_that_lead_elsewhere_are_refused_though_they_are_signed(image: Path, keys: Keys, line: str) -> None:
    sums = image.with_name("web.sha256")
    sums.write_text(sums.read_text() + f"{'0' * 64}  {line}\n")
    sign(Signers(file=keys.private), sums, NONE)
    assert refused(sums, keys.public) == "bad-sums-line"


def test_names_with_escapes_are_read_as_they_were_written(tmp_path: Path, keys: Keys) -> None:
    from imagewright.building.artefacts.files import finished
    from imagewright.building.artefacts.manifest import write_sums

    odd = tmp_path / "a\\b.raw"
    odd.write_bytes(b"x")
    write_sums([finished(odd)], tmp_path / "web.sha256")
    sign(Signers(file=keys.private), tmp_path / "web.sha256", NONE)
    assert verify(tmp_path / "web.sha256", Trusted.read([keys.public])).files == ("a\\b.raw",)


def test_no_key_is_trusted_that_was_not_named(keys: Keys) -> None:
    with pytest.raises(UsageError, match="no key was named that is trusted"):
        Trusted.read([])


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END", b"\x00" * 64]
)
def test_what_is_no_public_key_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match="no public key"):
        Trusted.read([tmp_path / "key"])


def test_a_private_key_is_none_that_is_trusted(keys: Keys) -> None:
    with pytest.raises(UsageError, match="no public key"):
        Trusted.read([keys.private])


def test_keys_that_cannot_sign_are_refused_before_the_build(tmp_path: Path, keys: Keys, gpg: Gpg) -> None:
    (tmp_path / "rsa.pem").write_bytes(rsa_key())
    for file, cause in (
        (keys.public, "neither PEM nor"),
        (tmp_path / "rsa.pem", "only Ed25519"),
        (encrypted(tmp_path, keys), "it is encrypted"),
    ):
        with pytest.raises(UsageError) as failure:
            Signers(file=file).check(NONE)
        assert cause in failure.value.cause
    with pytest.raises(UsageError, match="no secret key"):
        Signers(gpg="bob@desk").check(gpg.environment)
    Signers(file=keys.private, gpg="ann@desk").check(gpg.environment)


def rsa_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def encrypted(folder: Path, keys: Keys) -> Path:
    from cryptography.hazmat.primitives import serialization

    key = ed25519.private_key(keys.private).key
    form = serialization.BestAvailableEncryption(b"secret")
    path = folder / "encrypted.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form))
    return path


def test_an_option_of_gpgs_is_no_name_of_a_key(gpg: Gpg) -> None:
    with pytest.raises(UsageError, match="no secret key"):
        openpgp.secret_key("--version", gpg.environment)


def test_the_envelope_signs_type_and_lengths() -> None:
    # the example of DSSE's own specification
    assert envelopes.signed_text(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner)
        | st.dictionaries(st.sampled_from(["payloadType", "payload", "signatures", "sig", "keyid", "x"]), inner),
    )
)
def test_any_document_is_opened_or_refused(reliability: Recorder, document: object) -> None:
    with reliability.trying("inputs", PAPERS), suppress(ValueError):
        envelopes.opened(document)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sums=st.binary(max_size=200), signature=st.binary(max_size=80), statement=st.binary(max_size=80))
def test_any_bytes_are_refused_with_a_clear_message(
    reliability: Recorder, tmp_path: Path, keys: Keys, sums: bytes, signature: bytes, statement: bytes
) -> None:
    (tmp_path / "web.sha256").write_bytes(sums)
    (tmp_path / "web.sha256.sig").write_bytes(signature)
    (tmp_path / "web.provenance.json").write_bytes(statement)
    with reliability.trying("inputs", PAPERS), pytest.raises(ImagewrightError):
        verify(tmp_path / "web.sha256", Trusted.read([keys.public]))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    statement=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.text(),
            lambda inner: st.lists(inner)
            | st.dictionaries(st.sampled_from(["subject", "payloadType", "digest"]), inner),
        ).map(lambda one: json.dumps(one).encode()),
    )
)
def test_any_statement_that_somebody_trusted_signed_the_sum_of_is_read_or_refused(
    reliability: Recorder, tmp_path: Path, keys: Keys, statement: bytes
) -> None:
    (tmp_path / "web.provenance.json").write_bytes(statement)
    sums = tmp_path / "web.sha256"
    sums.write_text(f"{hashlib.sha256(statement).hexdigest()}  web.provenance.json\n")
    sign(Signers(file=keys.private), sums, NONE)
    with reliability.trying("inputs", PAPERS), pytest.raises(VerificationFailed):
        verify(sums, Trusted.read([keys.public]))


MANIFEST = {
    "imagewright": "0.1.0",
    "image": {"id": "web", "version": "1"},
    "source_date_epoch": 1_700_000_000,
    "artefacts": [{"file": "web.qcow2", "size": 8, "sha256": hashlib.sha256(b"an image").hexdigest()}],
    "facts": {},
    "plan": {"flavours": []},
    "packages": [{"name": "adduser", "version": "3.152", "architecture": "all"}],
}


def attested(folder: Path, signers: Signers, environment: Mapping[str, str]) -> Path:
    """An image with a bill, a statement, sums and signatures beside it; its sums."""
    (folder / "web.qcow2").write_bytes(b"an image")
    (folder / "web.manifest.json").write_text(json.dumps(MANIFEST))
    beside = Beside(bill="cyclonedx", provenance=True, signers=signers)
    attest(beside, folder, "web", MANIFEST, lambda packages: {}, digest, environment)
    sums = folder / "web.sha256"
    names = ("web.qcow2", "web.manifest.json", "web.cdx.json", "web.provenance.json")
    sums.write_text("".join(f"{digest(folder / name)}  {name}\n" for name in names))
    sign(signers, sums, environment)
    return sums


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_statement_is_signed_by_each_key_and_one_that_is_trusted_is_enough(
    tmp_path: Path, keys: Keys, gpg: Gpg
) -> None:
    sums = attested(tmp_path, Signers(file=keys.private, gpg="ann@desk"), gpg.environment)
    name = ed25519.private_key(keys.private).name
    both = verify(sums, Trusted.read([keys.public, gpg.keyring]))
    assert set(both.signers) == set(both.statement_signers) == {name, gpg.fingerprint}
    for key, signer in ((keys.public, name), (gpg.keyring, gpg.fingerprint)):
        found = verify(sums, Trusted.read([key]))
        assert found.signers == found.statement_signers == (signer,)


def test_a_statement_that_a_stranger_signed_or_that_is_about_other_files_is_refused(
    tmp_path: Path, keys: Keys, gpg: Gpg
) -> None:
    """The sums are signed by who is trusted both times, as if a build service had been given another statement."""
    sums = attested(tmp_path, Signers(file=keys.private), gpg.environment)
    statement = tmp_path / "web.provenance.json"
    document = json.loads(statement.read_text())
    strange = ed25519.private_key(keys.stranger.with_suffix(".pem"))

    def replaced(payload: bytes, signer: ed25519.PrivateKey) -> str:
        signature = envelopes.Signature(key=signer.name, content=signer.sign(envelopes.signed_text(payload)))
        before = digest(statement)
        statement.write_text(json.dumps(envelopes.enclosed(payload, [signature])))
        sums.write_text(sums.read_text().replace(before, digest(statement)))
        sign(Signers(file=keys.private), sums, NONE)
        return refused(sums, keys.public)

    payload, _signatures = envelopes.opened(document)
    assert replaced(payload, strange) == "untrusted-statement"
    other = payload.replace(hashlib.sha256(b"an image").hexdigest().encode(), b"0" * 64)
    assert replaced(other, ed25519.private_key(keys.private)) == "wrong-statement"
