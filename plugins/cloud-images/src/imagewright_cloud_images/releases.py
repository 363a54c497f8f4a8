"""What is known of Ubuntu's releases and of the files that its server of cloud images holds: all data in one place."""

from __future__ import annotations

from pathlib import Path

RELEASES = {
    "resolute": "26.04",
    "questing": "25.10",
    "noble": "24.04",
    "jammy": "22.04",
}
"""Names and versions, the newest first (distro-info-data's ``ubuntu.csv``). A name that is not here is asked for just
the same, since the server may know it."""

DEFAULT = "resolute"
"""The current release with long-term support."""

FOLDER = "{server}/{release}/current"
"""Where the newest images of a release lie."""

NAMES = ("{release}-server-cloudimg-{arch}-root.tar.xz", "{release}-server-cloudimg-{arch}-root.tar.gz")
"""What the root tree is called: today's releases have the first, old ones the second."""

KEYRING = Path(__file__).parent / "keyrings" / "ubuntu-cloudimage-keyring.gpg"
"""The keys that sign the sums of Ubuntu's cloud images, as Debian's package ubuntu-keyring 2023.11.28.1 ships them:

- ``D2EB 4462 6FDD C30B 513D 5BB7 1A5D 6C4C 7DB8 7C81``, UEC Image Automatic Signing Key
- ``4A3C E3CD 565D 7EB5 C810 E2B9 7FF3 F408 476C F100``, Ubuntu Cloud Image Builder
"""


def folder_of(server: str, release: str) -> str:
    """The address of the folder with a release's newest images."""
    return FOLDER.format(server=server.rstrip("/"), release=release)


def names_of(release: str, arch: str) -> tuple[str, ...]:
    """What the root tree of a release may be called, the likeliest first."""
    return tuple(name.format(release=release, arch=arch) for name in NAMES)
