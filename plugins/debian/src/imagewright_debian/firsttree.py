"""The archives of a first tree, ahead of mmdebstrap: fetched once, and unpacked from their plain forms.

mmdebstrap does all that it does without this, in the same order. It finds the indexes and the archives in place, and
the programs that it calls to unpack are ours: they take an archive's plain form where there is one, and have tar(1)
leave out what else a program in Python would filter. What that leaves out beyond measure dpkg lays right afterwards.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from imagewright.api import PLAIN, CallContext

from imagewright_debian.apt import DPKG_PATH

INCLUDED = "ca-certificates"
"""What is in the first tree beyond what Debian requires."""

_INSIDE = "/var/cache/apt/plain"
"""Where the chroot of mmdebstrap finds plain forms: its ``/run`` is cleaned."""

_PROGRAMS_INSIDE = "/var/cache/apt/programs"

_LISTED = re.compile(r"^'[^']*' ([^/ ]+\.deb) [0-9]+ SHA256:([0-9a-f]{64})", re.MULTILINE)

_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What mmdebstrap is given so that it finds things in place: options, and the PATH with our programs."""

    options: tuple[str, ...]
    path: str


def fetch(
    ctx: CallContext, *, release: str, architecture: str, settings: Sequence[str], sources: Sequence[str], keyring: Path
) -> dict[str, str]:
    """Bring the indexes and the archives of the first tree into ``ctx.fetched``; all archives with their digests.

    ``settings`` are lines of apt.conf(5), ``sources`` of sources.list(5). Empty if the archive does not answer:
    mmdebstrap says better why.
    """
    assert ctx.fetched is not None
    assert ctx.packages is not None
    folder = ctx.fetched / "apt"
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "lists/partial", "var/lib/dpkg", "cache"):
        (folder / name).mkdir(parents=True)
    (ctx.fetched / "archives/partial").mkdir(exist_ok=True)
    (folder / "var/lib/dpkg/status").touch()
    (folder / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
    configuration = folder / "apt.conf"
    lines = [
        f'Apt::Architecture "{architecture}";',
        f'Apt::Architectures "{architecture}";',
        f'Dir "{folder}";',
        f'Dir::State::Status "{folder}/var/lib/dpkg/status";',
        f'Dir::State::Lists "{folder}/lists";',
        f'Dir::Cache "{folder}/cache";',
        f'Dir::Cache::archives "{ctx.fetched}/archives";',
        f'Dir::Etc::Trusted "{keyring}";',
        'Apt::Install-Recommends "false";',
        # as mmdebstrap has it: apt is no more essential than any other package
        'pkgCacheGen::ForceEssential ",";',
        'Debug::NoLocking "true";',
        *(f"{line.rstrip(';')};" for line in settings),
    ]
    configuration.write_text("".join(f"{line}\n" for line in lines))
    environment = {**ctx.environment, "APT_CONFIG": str(configuration), "TMPDIR": str(folder)}
    suite = f"?or(?archive(^{release}$),?codename(^{release}$)),?architecture({architecture})"
    wanted = (f"?narrow({suite},?or(?essential,?priority(required)))", INCLUDED)
    if _apt(environment, "-q", "--error-on=any", "update") is None:
        return {}
    listed = _apt(environment, "-q", "-y", "-o", "Acquire::ForceHash=SHA256", "--print-uris", "install", *wanted)
    names = dict(_LISTED.findall(listed or ""))
    missing = {name: digest for name, digest in names.items() if not (ctx.packages / f"{digest}.package").is_file()}
    if missing:
        for name, digest in names.items():
            if name not in missing:
                (ctx.fetched / "archives" / name).symlink_to(ctx.packages / f"{digest}.package")
        if _apt(environment, "-q", "-y", "--download-only", "install", *wanted) is None:
            return {}
    (folder / "complete").touch()
    return names


def ahead(ctx: CallContext, work: Path, excluded: Sequence[str]) -> Ahead | None:
    """Lay our programs into ``work`` for a mmdebstrap that excludes paths (dpkg(1)); None if nothing was fetched.

    ``excluded`` are the folders whose content is left out when mmdebstrap extracts.
    """
    if ctx.fetched is None or ctx.packages is None or not (ctx.fetched / "apt/complete").exists():
        return None
    plain = ctx.packages / "plain"
    programs = work / "bin"
    programs.mkdir()
    shipped = resources.files("imagewright_debian") / "build-files"
    dpkg = (shipped / "dpkg").read_text().replace(PLAIN, _INSIDE)
    without = " ".join(shlex.quote(f"--exclude={path}") for path in excluded)
    scripts = {
        "dpkg-deb": f"name=${{2##*/}}\n"
        f'if [ "$1" = --fsys-tarfile ] && [ -f {shlex.quote(str(plain))}/"$name" ]; then\n'
        f'    exec /usr/bin/dpkg-deb "$1" {shlex.quote(str(plain))}/"$name"\n'
        "fi\n"
        'exec /usr/bin/dpkg-deb "$@"\n',
        "mmtarfilter": "exec cat\n",
        "tar": f'exec /usr/bin/tar {without} "$@"\n',
    }
    for name, script in scripts.items():
        _program(programs / name, f"#!/bin/sh\n{script}")
    _program(work / "dpkg", dpkg)
    lists = shlex.quote(str(ctx.fetched / "apt/lists"))
    plains, archives = shlex.quote(str(plain)), shlex.quote(f"{ctx.packages}/archives")
    before = (
        f'cd "$1" && cp -a {lists}/. var/lib/apt/lists/'
        f" && mkdir -p var/cache/apt/archives .{_INSIDE} .{_PROGRAMS_INSIDE}"
        f" && cp {archives}/*.deb var/cache/apt/archives/ && cp {shlex.quote(str(work))}/dpkg .{_PROGRAMS_INSIDE}/dpkg"
        # without it dpkg takes the archives themselves
        f" && {{ mount --bind {plains} .{_INSIDE} || rmdir .{_INSIDE}; }}"
    )
    after = (
        f'cd "$1" && rm -r .{_PROGRAMS_INSIDE} && if [ -d .{_INSIDE} ]; then umount .{_INSIDE} && rmdir .{_INSIDE}; fi'
    )
    # apt gives dpkg a PATH of its own
    inside = f'--aptopt=DPkg::Path "{_PROGRAMS_INSIDE}:{DPKG_PATH}"'
    options = (inside, "--skip=update", f"--setup-hook={before}", f"--customize-hook={after}")
    # the first is there inside the chroot alone, the second outside alone
    path = f"{_PROGRAMS_INSIDE}:{programs}:{ctx.environment.get('PATH') or _PATHS}"
    return Ahead(options=options, path=path)


def _program(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def _apt(environment: Mapping[str, str], *arguments: str) -> str | None:
    """What apt-get printed; None if it failed."""
    argv = ["apt-get", *arguments]
    done = subprocess.run(
        argv,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(done.stderr.rstrip())
        return None
    return done.stdout
