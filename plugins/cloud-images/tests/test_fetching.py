"""What is fetched, and what vouches for it: with a network, without one, through proxies."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from imagewright.errors import HostError, StepFailed, UsageError
from imagewright_cloud_images.releases import KEYRING
from imagewright_cloud_images.signatures import key_of

from .calling import IMAGE, Caller, refused
from .conftest import FOLDER, NAME, RELEASE, Cloud, CloudServer, Key, make_key, serving

# -- what is asked for, and what vouches for it


def test_the_image_comes_with_its_digest_its_place_and_who_signed_it(caller: Caller, cloud: Cloud) -> None:
    found = caller.fetch(cloud)
    assert found == {
        "base image": f"sha256:{cloud.digest}",
        "base image from": f"{cloud.folder}/{NAME}",
        "base image signed by": cloud.key.fingerprint,
    }
    assert caller.content(found) == cloud.server.files[IMAGE]
    assert (caller.cache / "images" / cloud.digest).stat().st_mode & 0o777 == 0o644
    assert "100 %" in caller.log


def test_an_old_release_has_its_root_tree_compressed_by_gzip(caller: Caller, cloud: Cloud) -> None:
    name = NAME.replace(".tar.xz", ".tar.gz")
    cloud.publish(b"of old", name)
    assert caller.fetch(cloud)["base image from"].endswith(name)


def test_a_list_without_the_image_says_which_images_it_has(caller: Caller, cloud: Cloud) -> None:
    cloud.publish(b"x", "resolute-server-cloudimg-arm64-root.tar.xz")
    assert "arm64" in refused(caller, cloud, "has no resolute-server-cloudimg-amd64-root.tar.xz and no ")


def test_an_image_that_is_as_it_was_is_not_fetched_again(caller: Caller, cloud: Cloud) -> None:
    assert caller.fetch(cloud) == caller.fetch(cloud)
    assert cloud.server.count(NAME) == 1
    assert cloud.server.count("SHA256SUMS") == 2


def test_a_new_image_is_taken_as_soon_as_the_server_has_it(caller: Caller, cloud: Cloud) -> None:
    old = caller.fetch(cloud)
    cloud.publish(b"a newer one " * 1000)
    new = caller.fetch(cloud)
    assert new["base image"] != old["base image"]
    assert caller.content(new).startswith(b"a newer one")


def test_an_image_that_nothing_leads_to_goes_a_day_after_its_last_use(caller: Caller, cloud: Cloud) -> None:
    old = caller.fetch(cloud)["base image"].removeprefix("sha256:")
    cloud.publish(b"new")
    caller.fetch(cloud)
    assert old in caller.kept()
    seal = caller.cache / "images" / f"{old}.seal"
    os.utime(seal, (time.time() - 90_000,) * 2)
    caller.fetch(cloud)
    assert caller.kept() == [cloud.digest]


def test_a_note_that_was_left_in_pieces_is_no_note(caller: Caller, cloud: Cloud) -> None:
    caller.fetch(cloud)
    (note,) = (caller.cache / "notes").iterdir()
    note.write_text('{"address": "http')
    (caller.cache / "notes" / "another.json").write_text("")
    with pytest.raises(HostError, match="is not in the cache"):
        caller.fetch(cloud, offline=True)
    assert caller.fetch(cloud)["base image"] == f"sha256:{cloud.digest}"


def test_an_image_that_was_damaged_in_the_cache_is_fetched_again(caller: Caller, cloud: Cloud) -> None:
    found = caller.fetch(cloud)
    (caller.cache / "images" / cloud.digest).write_bytes(b"rot")
    assert caller.content(caller.fetch(cloud)) == cloud.server.files[IMAGE]
    assert caller.fetch(cloud) == found


def test_sums_signed_by_a_stranger_stop_the_build(caller: Caller, cloud: Cloud, keys: tuple[Key, Key]) -> None:
    cloud.publish(b"forged", key=keys[1])
    refused(caller, cloud, "is not good: the keyring lacks the key")
    assert cloud.server.count(NAME) == 0


def test_sums_that_were_changed_after_they_were_signed_stop_the_build(caller: Caller, cloud: Cloud) -> None:
    cloud.server.files[f"{FOLDER}/SHA256SUMS"] += f"{'1' * 64} *evil\n".encode()
    refused(caller, cloud, "the sums are not those that were signed")


@pytest.mark.parametrize("signature", [b"", b"no signature", b"<html>login</html>"])
def test_what_is_no_signature_stops_the_build(caller: Caller, cloud: Cloud, signature: bytes) -> None:
    cloud.server.files[f"{FOLDER}/SHA256SUMS.gpg"] = signature
    refused(caller, cloud, "it is no OpenPGP signature")


def test_a_key_past_its_date_stops_the_build(caller: Caller, cloud: Cloud, tmp_path: Path) -> None:
    home = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    key = make_key(home / "k", "Short Lived", "seconds=1")
    cloud.publish(b"x", key=key)
    time.sleep(2)
    refused(caller, cloud, "is not good", keyring=str(key.keyring))


def test_sums_without_a_signature_stop_the_build(caller: Caller, cloud: Cloud) -> None:
    del cloud.server.files[f"{FOLDER}/SHA256SUMS.gpg"]
    refused(caller, cloud, "there is no .*SHA256SUMS.gpg")


def test_an_unknown_release_is_told_from_an_unhelpful_server(caller: Caller, cloud: Cloud) -> None:
    folder = cloud.folder.replace(RELEASE, "potato")
    assert "--release" in refused(caller, cloud, "there is no .*potato/current/SHA256SUMS", folder=folder)


def test_a_keyring_in_ascii_form_serves_too(caller: Caller, cloud: Cloud, tmp_path: Path) -> None:
    armoured = tmp_path / "key.asc"
    argv = ["gpg", "--homedir", str(cloud.key.home), "--batch", "--armor", "--export", "--output", str(armoured)]
    subprocess.run(argv, check=True, capture_output=True)
    assert key_of(armoured) == cloud.key.keyring.read_bytes()
    assert caller.fetch(cloud, keyring=str(armoured))["base image signed by"] == cloud.key.fingerprint


def test_a_keyring_that_is_not_there_is_named(caller: Caller, cloud: Cloud, tmp_path: Path) -> None:
    refused(caller, cloud, "absent.gpg cannot be read: |absent.gpg", UsageError, keyring=str(tmp_path / "absent.gpg"))


def test_the_keyring_that_is_shipped_holds_the_key_of_the_documents() -> None:
    home = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    argv = ["gpg", "--homedir", str(home), "--show-keys", "--with-colons", str(KEYRING)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    found = [line.split(":")[9] for line in done.stdout.splitlines() if line.startswith("fpr")]
    assert found == ["D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81", "4A3CE3CD565D7EB5C810E2B97FF3F408476CF100"]


def test_with_a_digest_nobody_needs_to_sign(caller: Caller, cloud: Cloud) -> None:
    found = caller.fetch(cloud, digest=cloud.digest, names=NAME)
    assert found["base image signed by"] == "nobody"
    caller.fetch(cloud, digest=cloud.digest, names=NAME)
    assert cloud.server.asked == [(IMAGE, "")]


def test_a_digest_finds_the_root_tree_of_an_old_release_too(caller: Caller, cloud: Cloud) -> None:
    del cloud.server.files[IMAGE]
    cloud.publish(b"of old", NAME.replace(".tar.xz", ".tar.gz"))
    assert caller.fetch(cloud, digest=cloud.digest)["base image from"].endswith(".tar.gz")


def test_without_gpgv_one_message_says_what_brings_it(
    caller: Caller, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagewright.supplychain.openpgp.find", lambda _: None)
    refused(caller, cloud, "the host lacks gpgv", HostError)


def test_another_digest_stops_the_build(caller: Caller, cloud: Cloud) -> None:
    refused(caller, cloud, "not the image that its digest names", digest="5" * 64, names=NAME)
    assert not [path for path in (caller.cache / "parts").iterdir() if path.suffix != ".lock"]


# -- without a network, through proxies, with authorities


def test_offline_takes_the_image_of_the_last_build_and_asks_nobody(caller: Caller, cloud: Cloud) -> None:
    found = caller.fetch(cloud)
    cloud.server.asked.clear()
    assert caller.fetch(cloud, offline=True) == found
    assert cloud.server.asked == []
    assert "offline" in caller.log


def test_offline_with_an_empty_cache_says_how_to_fill_it(caller: Caller, cloud: Cloud) -> None:
    with pytest.raises(HostError, match="is not in the cache") as caught:
        caller.fetch(cloud, offline=True)
    assert "without --offline" in caught.value.hint
    with pytest.raises(HostError, match="is not in the cache"):
        caller.fetch(cloud, offline=True, digest=cloud.digest, names=NAME)
    assert cloud.server.asked == []


def test_offline_does_not_take_what_another_keyring_vouched_for(
    caller: Caller, cloud: Cloud, keys: tuple[Key, Key]
) -> None:
    caller.fetch(cloud)
    with pytest.raises(HostError, match="is not in the cache"):
        caller.fetch(cloud, offline=True, keyring=str(keys[1].keyring))


def test_the_callers_proxy_is_the_way_out(caller: Caller, cloud: Cloud) -> None:
    class Proxying(CloudServer):
        pass

    with serving(Proxying()) as proxy:
        target = "http://cloud.example"
        proxy.files = {f"{target}{path}": content for path, content in cloud.server.files.items()}
        caller.environment = {"http_proxy": proxy.address}
        found = caller.fetch(cloud, folder=f"{target}{FOLDER}")
        assert found["base image"] == f"sha256:{cloud.digest}"
        assert proxy.asked[0][0] == f"{target}{FOLDER}/SHA256SUMS"
        caller.environment = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
        caller.fetch(cloud)


def test_a_login_of_the_address_is_used_and_never_told(caller: Caller, cloud: Cloud) -> None:
    seen: list[str] = []
    cloud.server.actions.append(lambda handler: bool(seen.append(handler.headers.get("Authorization", ""))))
    found = caller.fetch(cloud, folder=cloud.folder.replace("http://", "http://ann:hush@"))
    assert all(value.startswith("Basic ") for value in seen)
    assert "hush" not in caller.log + str(found)
    text = refused_again(caller, cloud)
    assert "hush" not in text


def refused_again(caller: Caller, cloud: Cloud) -> str:
    folder = cloud.folder.replace("http://", "http://ann:hush@").replace(RELEASE, "potato")
    with pytest.raises(StepFailed) as caught:
        caller.fetch(cloud, folder=folder)
    return str(caught.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("authority")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return certificate, key


def test_https_is_trusted_with_the_authority_of_the_option_alone(
    caller: Caller, cloud: Cloud, authority: tuple[Path, Path]
) -> None:
    secure = CloudServer()
    secure.files, secure.scheme = cloud.server.files, "https"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    with serving(secure) as server:
        folder = f"{server.address}{FOLDER}"
        text = refused(caller, cloud, "certificate is not trusted", folder=folder)
        assert "--ca-certificate" in text
        found = caller.fetch(cloud, folder=folder, certificate=str(authority[0]))
        assert found["base image"] == f"sha256:{cloud.digest}"


# -- files of the caller's


def test_a_file_of_the_callers_is_copied_where_mapped_root_can_read_it(
    caller: Caller, cloud: Cloud, tmp_path: Path
) -> None:
    own = tmp_path / "own.tar"
    own.write_bytes(b"mine")
    own.chmod(0o600)
    found = caller.fetch(cloud, file=str(own))
    assert found["base image"] == f"sha256:{hashlib.sha256(b'mine').hexdigest()}"
    assert found["base image from"] == str(own)
    assert caller.content(found) == b"mine"
    assert own.read_bytes() == b"mine"
    assert cloud.server.asked == []


def test_a_file_with_another_digest_is_refused(caller: Caller, cloud: Cloud, tmp_path: Path) -> None:
    own = tmp_path / "own.tar"
    own.write_bytes(b"mine")
    refused(caller, cloud, "not the one that its digest names", file=str(own), digest="1" * 64)


def test_a_file_that_cannot_be_read_is_named(caller: Caller, cloud: Cloud, tmp_path: Path) -> None:
    refused(caller, cloud, "absent.tar cannot be read", UsageError, file=str(tmp_path / "absent.tar"))
    refused(caller, cloud, "cannot be read", UsageError, file=str(tmp_path))


def test_a_file_without_an_end_is_refused_before_it_is_read(caller: Caller, cloud: Cloud, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for endless in (tmp_path / "pipe", Path("/dev/zero")):
        refused(caller, cloud, "neither a file nor a disk", UsageError, file=str(endless))


def test_who_names_no_server_is_told_all_ways_to_name_one(caller: Caller, cloud: Cloud) -> None:
    text = refused(caller, cloud, "no server of cloud images is named", UsageError, folder="")
    for way in ("--cloud-images", "CLOUD_IMAGES", "imagewright.toml", "--base-image-file", "debian"):
        assert way in text


def test_the_proxy_of_the_hosts_apt_is_the_way_out_where_the_caller_has_none(
    caller: Caller, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(CloudServer()) as proxy:
        target = "http://cloud.example"
        proxy.files = {f"{target}{path}": content for path, content in cloud.server.files.items()}
        dump = f'Acquire::http::Proxy "{proxy.address}/";\nAcquire::https::Proxy "DIRECT";\n'
        monkeypatch.setattr("imagewright_debian.access._dump", lambda: dump)
        caller.fetch(cloud, folder=f"{target}{FOLDER}")
        assert proxy.asked[0][0] == f"{target}{FOLDER}/SHA256SUMS"
        asked = len(proxy.asked)
        caller.environment = {"http_proxy": "http://127.0.0.1:1"}
        with pytest.raises(StepFailed, match="refused"):
            caller.fetch(cloud, folder=f"{target}{FOLDER}")
        assert len(proxy.asked) == asked
