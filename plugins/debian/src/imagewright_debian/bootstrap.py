"""Makes the first tree with mmdebstrap, as mapped root outside the tree.

In the namespace mmdebstrap's mode ``root`` works: it finds out that mknod fails and binds the host's devices for its
chroot, so the tree holds no device nodes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from imagewright.api import CallContext, ImagewrightError, StepFailed

from imagewright_debian import locked
from imagewright_debian.access import authorities, host_settings
from imagewright_debian.firsttree import INCLUDED, ahead, fetch

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

EXCLUDED_DOCUMENTATION = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    # the folders stay: packages such as the Java runtime fail where they cannot lay a link into them
    "path-exclude=/usr/share/man/*/*",
)
"""Settings of dpkg(1); licences ask for the copyright files."""

_EXCLUDED_FOLDERS = ("./usr/share/doc/*", "./usr/share/locale/*", "./usr/share/man/*/*")
"""Whose content is left out by tar(1), what is included again as well: dpkg lays that."""

_HOSTS = """\
127.0.0.1\tlocalhost
::1\t\tlocalhost ip6-localhost ip6-loopback
ff02::1\t\tip6-allnodes
ff02::2\t\tip6-allrouters
"""

# systemd-resolved's own: while a tree is built it leads into the private /run of each step
_RESOLVER = "../run/systemd/resolve/stub-resolv.conf"


def bootstrap(
    ctx: CallContext,
    *,
    release: str,
    architecture: str,
    sources: str,
    sources_file: str,
    components: str,
    documentation: bool,
    authority: str,
) -> None:
    """Make the tree at ``ctx.target_root``. ``sources`` are lines of sources.list(5) for mmdebstrap.

    Without any it takes its own default, of which ``components`` (joined by commas) choose the parts.
    Raises StepFailed if mmdebstrap fails.
    """
    root = ctx.target_root
    if root is None:
        raise ImagewrightError("no-target", "the first tree needs a place")
    keyring = _keyring()
    # what mmdebstrap and apt lay down for a while goes into the build's own work folder
    work = Path(ctx.environment["_LIB"]).parent
    with tempfile.TemporaryDirectory(prefix="debian-", dir=work) as folder:
        options = _apt_options(ctx, authority, Path(folder))
        found = ahead(ctx, Path(folder), () if documentation else _EXCLUDED_FOLDERS)
        pins, more = locked.first_tree(ctx.locked, sources)
        settings = ["force-unsafe-io", *(() if documentation else EXCLUDED_DOCUMENTATION)]
        argv = [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=minbase",
            f"--architectures={architecture}",
            f"--components={components}",
            f"--include={INCLUDED}",
            "--skip=cleanup/apt/lists",
            f"--keyring={keyring}",
            *(f"--aptopt={option}" for option in options),
            *(f"--dpkgopt={setting}" for setting in settings),
            *pins,
            *(found.options if found else ()),
            release,
            str(root),
            *_signed(sources, keyring),
        ]
        argv += more
        environment = {**ctx.environment, "TMPDIR": folder, **({"PATH": found.path} if found else {})}
        status = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        cause = "its last lines say why: a mirror out of reach, a wrong signature, or a release it does not hold"
        hint = "--mirror names another mirror"
        if ctx.offline:
            cause = "the cache lacks the first tree, and with --offline nothing is fetched"
            hint = "build once without --offline"
        raise StepFailed("mmdebstrap-failed", f"mmdebstrap failed with exit status {status}", cause=cause, hint=hint)
    dress(root, sources_file=sources_file, documentation=documentation)


def fetch_packages(
    ctx: CallContext, *, release: str, architecture: str, sources: str, authority: str, **_others: object
) -> dict[str, str]:
    """Fetch what :func:`bootstrap` needs, ahead of it; the digests of the archives by their names.

    None, if the sources are mmdebstrap's own affair or nobody may be asked: then it goes its own way.
    """
    if not sources or ctx.offline or ctx.locked is not None:
        return {}
    work = Path(ctx.environment["_LIB"]).parent
    with tempfile.TemporaryDirectory(prefix="debian-", dir=work) as folder:
        settings = _apt_options(ctx, authority, Path(folder))
        keyring = _keyring()
        return fetch(
            ctx,
            release=release,
            architecture=architecture,
            settings=settings,
            sources=_signed(sources, keyring),
            keyring=keyring,
        )


def _keyring() -> Path:
    return next((path for path in KEYRINGS if path.exists()), KEYRINGS[0])


def _signed(sources: str, keyring: Path) -> list[str]:
    return [line.replace("deb ", f"deb [signed-by={keyring}] ", 1) for line in sources.splitlines()]


def _apt_options(ctx: CallContext, authority: str, folder: Path) -> list[str]:
    """Settings of apt.conf(5), for the apt of the host; the files that they name are written into ``folder``."""
    options = [
        'Acquire::Languages "none"',
        'Acquire::Retries "3"',
        'APT::Sandbox::User "root"',
        *(line.rstrip(";") for line in host_settings(ctx.environment)),
    ]
    if authority:
        bundle = folder / "authorities.pem"
        bundle.write_text(authorities(authority))
        options.append(f'Acquire::https::CAInfo "{bundle}"')
    return options


def dress(root: Path, *, sources_file: str, documentation: bool) -> None:
    """Take out what mmdebstrap copied from the host and needed itself, and name the package sources."""
    listed = ("etc/apt/sources.list",) if sources_file else ()
    for name in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", locked.PINNED, *listed):
        (root / name).unlink(missing_ok=True)
    if sources_file:
        (root / "etc/apt/sources.list.d/debian.sources").write_text(sources_file)
    if not documentation:
        lines = ["# Remove this file to have manual pages and documents of packages that are installed from now on."]
        lines += EXCLUDED_DOCUMENTATION
        (root / "etc/dpkg/dpkg.cfg.d/50-no-documentation").write_text("".join(f"{line}\n" for line in lines))
    # its mode is the host's, too
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/hostname").write_text("localhost\n")
    (root / "etc/hosts").write_text(_HOSTS)
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.symlink_to(_RESOLVER)
    # mmdebstrap leaves what it installed with; the package cache is elsewhere
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
