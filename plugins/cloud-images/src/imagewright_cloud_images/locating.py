"""What a user's words for an image mean: a name on a server, a path, or an address."""

from __future__ import annotations

from pathlib import Path

from imagewright.errors import UsageError


def is_address(image: str) -> bool:
    """Whether it is an address of http or https."""
    return image.startswith(("http://", "https://"))


def is_name(image: str) -> bool:
    """Whether it is a bare name, neither a path nor an address."""
    return bool(image) and "/" not in image and not image.startswith("~")


def arguments_of(*, image: str, digest: str, keyring: str) -> dict[str, str]:
    """The arguments of the fetching function for an address or a path; a bare name is a file of the current folder.

    An address needs something that vouches for what comes from it: ``digest``, or a ``keyring`` for the
    ``SHA256SUMS.gpg`` beside it. Raises UsageError.
    """
    digest = digest_of(digest)
    nothing = {"folder": "", "names": "", "keyring": "", "digest": digest, "file": ""}
    if not image:
        return nothing
    if not is_address(image):
        if "://" in image:
            raise UsageError(
                "base-image-address",
                f"the base image's address {image.partition('://')[0]}://… is neither of http nor of https",
                hint="fetch it, and name the file: --base-image-file ./IMAGE",
                option="base-image-file",
            )
        return {**nothing, "file": str(Path(image).expanduser().absolute())}
    folder, _, name = image.rpartition("/")
    if not name or name != name.split()[0] or folder.endswith(":/"):
        raise UsageError("base-image-address", "the address of the base image names no file", option="base-image-file")
    if not digest and not keyring:
        raise UsageError(
            "base-image-not-vouched-for",
            "nothing vouches for the base image that comes from an address",
            cause="whoever answers there could give any image",
            hint="--set cloud-image.base-image-digest=SHA256, or --set cloud-image.base-image-keyring=FILE for a "
            "SHA256SUMS.gpg beside it",
            option="base-image-file",
        )
    return {**nothing, "folder": folder, "names": name, "keyring": keyring}


def digest_of(text: str) -> str:
    """A digest as 64 small hex digits; empty stays empty. Raises UsageError."""
    digest = text.strip().lower().removeprefix("sha256:")
    if digest and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):
        raise UsageError(
            "bad-digest",
            f"`{text}` is no SHA-256 digest",
            cause="it has 64 hex digits",
            hint="sha256sum IMAGE prints it",
        )
    return digest


def without_login(address: str) -> str:
    """The address without user and password, for logs and manifests."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else address
