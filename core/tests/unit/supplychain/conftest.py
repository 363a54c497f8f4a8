"""Keys made for the tests: Ed25519 in its two forms, and OpenPGP in a keyring of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A private key with its public half, as openssl and as ssh-keygen write them, and a stranger's."""

    private: Path
    public: Path
    ssh_private: Path
    ssh_public: Path
    stranger: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpg:
    """A user of gpg with one key."""

    environment: dict[str, str]
    fingerprint: str
    keyring: Path


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder = tmp_path_factory.mktemp("keys")
    form, plain = serialization.Encoding, serialization.NoEncryption()
    for name in ("ours", "stranger"):
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(form.PEM, serialization.PrivateFormat.PKCS8, plain)
        (folder / f"{name}.pem").write_bytes(pem)
        (folder / f"{name}.ssh").write_bytes(key.private_bytes(form.PEM, serialization.PrivateFormat.OpenSSH, plain))
        public = key.public_key()
        (folder / f"{name}.pub").write_bytes(
            public.public_bytes(form.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        line = public.public_bytes(form.OpenSSH, serialization.PublicFormat.OpenSSH)
        (folder / f"{name}.ssh.pub").write_bytes(line + b" ann@desk\n")
    return Keys(
        private=folder / "ours.pem",
        public=folder / "ours.pub",
        ssh_private=folder / "ours.ssh",
        ssh_public=folder / "ours.ssh.pub",
        stranger=folder / "stranger.pub",
    )


@pytest.fixture(scope="session")
def gpg() -> Iterator[Gpg]:
    # the agent's socket needs a short path
    with tempfile.TemporaryDirectory(prefix="gpg-") as name:
        environment = {"GNUPGHOME": name, "PATH": os.environ["PATH"]}

        def run(*arguments: str) -> bytes:
            done = subprocess.run(
                ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
                env=environment,
                capture_output=True,
                check=True,
            )
            return done.stdout

        run("--quick-generate-key", "ann@desk", "ed25519", "sign", "never")
        listed = run("--with-colons", "--list-secret-keys").decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        keyring = Path(name, "exported.gpg")
        keyring.write_bytes(run("--export", fingerprint))
        try:
            yield Gpg(environment=environment, fingerprint=fingerprint, keyring=keyring)
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
            shutil.rmtree(f"{name}/private-keys-v1.d", ignore_errors=True)
