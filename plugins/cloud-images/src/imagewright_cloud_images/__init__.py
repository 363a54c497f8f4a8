"""Operating systems that start from an image which somebody else made: Ubuntu's cloud images, and any other."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from imagewright.api import (
    GIB,
    OPERATING_SYSTEM,
    BuildContext,
    Call,
    Command,
    Entry,
    Flavour,
    Packages,
    Parameter,
    Put,
    Script,
    Step,
    Tree,
    hookimpl,
)
from imagewright.errors import PlanError
from imagewright_debian.access import certificate_of
from imagewright_debian.apt import Apt
from imagewright_debian.scripts import script as debian_script

from imagewright_cloud_images.locating import arguments_of, digest_of, is_name, without_login
from imagewright_cloud_images.releases import DEFAULT, KEYRING, RELEASES, folder_of, names_of

BASE_IMAGE = "base image"
"""The fact that the fetching step finds: ``sha256:`` and the digest of the image that the tree is made of."""

NOT_KEPT = "base image not kept"
"""The fact that the unpacking step finds: what of the image is not in the tree, or ``nothing``."""

FOUND = (BASE_IMAGE, "base image from", "base image signed by")

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "netbase",
    "procps",
    "sudo",
    "systemd-sysv",
    "udev",
    "zstd",
)
"""What makes a tree a machine, where the image lacks it. What has rivals, such as the maker of the initramfs or the
keeper of the time, is the image's own choice."""

_DIGEST = Parameter(
    name="base-image-digest",
    help="SHA-256 digest of the image, 64 hex digits; another one stops the build",
)
_KERNEL = Parameter(
    name="kernel-package",
    help="package of the kernel for an image without one; none does without",
)


class _FromImage(Flavour):
    """What all operating systems have in common that start from an image of Debian's family."""

    api_version = 1
    provides = (OPERATING_SYSTEM,)
    disk_space = 4 * GIB

    def fetched(self, ctx: BuildContext) -> dict[str, str]:
        """Where the image comes from and what vouches for it, as arguments of the fetching function."""
        return arguments_of(
            image=ctx.base_image_file,
            digest=str(ctx.parameters["base-image-digest"] or ""),
            keyring=str(ctx.parameters["base-image-keyring"] or ""),
        )

    @hookimpl
    def extra_data(self, ctx: BuildContext) -> Iterable[Step]:
        """Fetch the image as the caller, into the cache, and find out its digest."""
        certificate = str(ctx.ca_certificate.expanduser()) if ctx.ca_certificate else ""
        call = Call(
            function="imagewright_cloud_images.fetching:fetch",
            arguments={**self.fetched(ctx), "certificate": certificate},
            finds=FOUND,
        )
        return [Step(id="05-base-image", action=call, summary="fetches the image and checks it")]

    @hookimpl
    def root(self, ctx: BuildContext) -> Iterable[Step]:
        """Unpack the image and take from it what ties it to one machine."""
        call = Call(function="imagewright_cloud_images.unpacking:unpack", needs=(BASE_IMAGE,), finds=(NOT_KEPT,))
        return [Step(id="10-unpack", action=call, summary="unpacks the image")]

    @hookimpl
    def pre_install(self, ctx: BuildContext) -> Iterable[Step]:
        """Name the mirror to build from, if one is given; else the image's own sources serve."""
        return [_sources("10-mirror", "", ctx.mirror)] if ctx.mirror else []

    @hookimpl
    def packages(self, ctx: BuildContext) -> Iterable[Step]:
        """Name what makes the tree a machine."""
        return [Step(id="10-machine", action=Packages(names=PACKAGES))]

    @hookimpl
    def install(self, ctx: BuildContext) -> Iterable[Step]:
        """Install a kernel if the image has none."""
        return [
            Step(id="05-kernel", action=_script("kernel"), summary="installs a kernel if there is none"),
            debian_script("install.d", "10-debian"),
            debian_script("install.d", "10-locale"),
        ]

    @hookimpl
    def finalise(self, ctx: BuildContext) -> Iterable[Step]:
        """Name the root filesystem and make each kernel's initramfs, with what the image makes it with."""
        maker = debian_script("finalise.d", "50-initramfs").action
        assert isinstance(maker, Script)
        beside = Tree((Entry(path="initramfs-tools", content=maker.content),))
        steps = [
            debian_script("finalise.d", "40-fstab"),
            Step(id="50-initramfs", action=_script("initramfs", beside), summary="makes each kernel's initramfs"),
        ]
        image = ctx.image_mirror or without_login(ctx.mirror)
        if image != ctx.mirror:
            steps.append(_sources("95-image-mirror", ctx.mirror, image))
        return steps

    @hookimpl
    def cleanup(self, ctx: BuildContext) -> Iterable[Step]:
        """Take away what the building left."""
        return [debian_script("cleanup.d", "90-debian")]

    @hookimpl
    def package_manager(self, ctx: BuildContext) -> Apt:
        """Drive apt."""
        return Apt(authority=certificate_of(ctx), repositories=ctx.repositories)


class CloudImage(_FromImage):
    """Any cloud image or root tarball of Debian's family."""

    summary = "Any cloud image or root tarball of Debian or Ubuntu, by address or path"
    provides = (OPERATING_SYSTEM,)
    folder = Path(__file__).parent / "cloud-image"
    parameters = (
        _DIGEST,
        Parameter(
            name="base-image-keyring",
            type="path",
            help="OpenPGP keyring for SHA256SUMS.gpg beside the image, in place of a digest",
        ),
        _KERNEL,
    )


class Ubuntu(_FromImage):
    """Ubuntu, from the root tree of its cloud images."""

    summary = "Ubuntu, from its signed cloud image"
    provides = (OPERATING_SYSTEM,)
    default_release = DEFAULT
    programs = ("gpgv",)
    folder = Path(__file__).parent / "ubuntu"
    parameters = (
        _DIGEST,
        Parameter(
            name="base-image-keyring",
            type="path",
            help="OpenPGP keyring that the image's sums are signed with; by default Ubuntu's own",
        ),
        _KERNEL,
    )

    def fetched(self, ctx: BuildContext) -> dict[str, str]:
        """The newest root tree of the release, or the image of ``--base-image-file``."""
        digest = digest_of(str(ctx.parameters["base-image-digest"] or ""))
        keyring = str(ctx.parameters["base-image-keyring"] or "") or str(KEYRING)
        for name, version in RELEASES.items():
            if ctx.release == version:
                raise PlanError(
                    "unknown-release",
                    f"the flavour ubuntu has no release {ctx.release!r}",
                    cause="releases of Ubuntu go by their names here",
                    hint=f"--release {name}",
                )
        if ctx.base_image_file and not is_name(ctx.base_image_file):
            return arguments_of(image=ctx.base_image_file, digest=digest, keyring=keyring)
        names = (ctx.base_image_file,) if ctx.base_image_file else names_of(ctx.release, ctx.arch)
        folder = folder_of(ctx.cloud_images, ctx.release) if ctx.cloud_images else ""
        return {"folder": folder, "names": " ".join(names), "keyring": keyring, "digest": digest, "file": ""}

    @hookimpl
    def install(self, ctx: BuildContext) -> Iterable[Step]:
        """Have metadata's keys go to the user ``ubuntu``, whatever the tree was made for."""
        content = (resources.files("imagewright_cloud_images") / "scripts" / "user.cfg").read_bytes()
        entry = Entry(path="etc/cloud/cloud.cfg.d/95-imagewright-user.cfg", content=content)
        own = Step(id="60-user", action=Put(tree=Tree((entry,))), summary="has metadata's keys go to ubuntu")
        return [*super().install(ctx), own]


def _script(name: str, data: Tree | None = None) -> Script:
    content = (resources.files("imagewright_cloud_images") / "scripts" / name).read_bytes()
    return Script(content=content, data=data or Tree())


def _sources(step: str, before: str, after: str) -> Step:
    """A step that has the tree's sources name a mirror. Addresses may hold a login, so that they are no arguments."""
    text = (resources.files("imagewright_cloud_images") / "scripts" / "sources").read_text()
    command = Command(argv=("sh", "-euc", text), environment={"MIRROR_BEFORE": before, "MIRROR_AFTER": after})
    return Step(id=step, action=command, summary="names the package mirror")
