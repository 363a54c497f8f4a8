"""The options of what lies beside an image for who must trust it: a part of the one table."""

from __future__ import annotations

from imagewright.cli.options import kinds
from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.setting import Setting, switch

BUILD = (
    Setting(
        name="sbom",
        help="Write a bill of materials beside it: cyclonedx, spdx or none.",
        convert=kinds.one_of("the form", "none", "cyclonedx", "spdx"),
        metavar="FORM",
        default="none",
        group="Trust",
    ),
    switch("provenance", "Write an in-toto statement with SLSA provenance beside it.", group="Trust"),
    Setting(
        name="sign-key",
        help="Sign the sums and the statement with the Ed25519 key in a file (PEM or OpenSSH).",
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        group="Trust",
    ),
    Setting(
        name="sign-gpg",
        help="Sign the sums and the statement with this key of gpg's.",
        metavar="KEY",
        default="",
        group="Trust",
    ),
)
"""What builds take."""

OPTIONS = (
    *BUILD,
    Setting(
        name="verify-key",
        help="Key to trust: an Ed25519 public key, or an OpenPGP keyring. Several: repeat it or use colons.",
        kind=Kind.PATHS,
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        default=(),
        group="Trust",
    ),
)
