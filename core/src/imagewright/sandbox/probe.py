"""What keeps this host from making namespaces, found by trying."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from imagewright.errors import HostError, ImagewrightError
from imagewright.sandbox import helper
from imagewright.sandbox.jobs import PythonJob, Stack
from imagewright.sandbox.mapping import mapping_of_caller
from imagewright.sandbox.sandbox import Sandbox

_SWITCHES = {"kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "10000"}
"""Settings of the kernel that switch user namespaces off when they are 0, and what they should be."""

_MAPPERS = ("newuidmap", "newgidmap")
_EXPLAINED = ("no-subordinate-ids", "too-few-ids", "missing-tool", "namespace-helper", "launcher-not-started")
"""Failures that say what mends them, in a container too."""

_UNMASKED = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
_PODMAN = "podman: --security-opt seccomp=unconfined --security-opt unmask=ALL"
_NEEDED_OF_ROOT = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "SETGID": 6, "SETUID": 7}
"""Capabilities that a root caller needs, with their bits (capabilities(7)): every container has them by default."""


def problems() -> tuple[HostError, ...]:
    """Everything that is known to be in the way, with what mends it; empty if a sandbox works."""
    found = [*_switched_off(), *_lacking()]
    if found:
        return tuple(found)
    try:
        _try()
    except HostError as error:
        return (error.reference == "namespace-helper" and helper.faults()) or (explained(error),)
    except (ImagewrightError, OSError) as error:
        return (HostError("no-sandbox", f"a sandbox does not work here: {error}"),)
    return ()


def restricted_by_apparmor() -> bool:
    """Whether AppArmor keeps programs without a profile from using user namespaces (Ubuntu 24.04 and later)."""
    return _setting("kernel.apparmor_restrict_unprivileged_userns") == "1"


def apparmor_profile(interpreter: Path) -> str:
    """The AppArmor profile that lets the launcher, run by ``interpreter``, use user namespaces (apparmor.d(5))."""
    return (
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n\n"
        f'profile imagewright "{interpreter}" flags=(unconfined) {{\n'
        "  userns,\n\n"
        "  include if exists <local/imagewright>\n"
        "}\n"
    )


def _switched_off() -> list[HostError]:
    return [
        HostError(
            "no-user-namespaces",
            f"this host's setting {name} is 0, so that nobody may make user namespaces",
            cause="" if name.startswith("user.") else f"where that is to stay so, `{helper.INSTALL}` helps",
            hint=f"sudo sysctl -w {name}={on}",
        )
        for name, on in _SWITCHES.items()
        # the first one is for ordinary users alone, and for those whom the helper does not help
        if _setting(name) == "0" and (name.startswith("user.") or (os.getuid() != 0 and helper.faults()))
    ]


def _lacking() -> list[HostError]:
    found = []
    try:
        mapping_of_caller()
    except HostError as error:
        found.append(error)
    absent = [program for program in _MAPPERS if not shutil.which(program)] if os.getuid() else []
    if absent:
        found.append(
            HostError("missing-tool", f"the host lacks {' and '.join(absent)}", hint="sudo apt-get install uidmap")
        )
    return found


def _try() -> None:
    """Make all that a job needs: the namespaces, its own /proc, and layers in one mount."""
    with tempfile.TemporaryDirectory(prefix="imagewright-probe-") as folder:
        for name in ("one", "two"):
            (Path(folder) / "layers" / name).mkdir(parents=True)
        with Sandbox.open(Path(folder)) as sandbox:
            job = PythonJob(function="imagewright.sandbox.launcher.chores:nothing", stack=Stack(lower=("one", "two")))
            sandbox.call(job, lambda line: None)


def explained(error: HostError) -> HostError:
    """The same failure with its likely cause on this host and the command that mends it."""
    if error.reference in _EXPLAINED:
        return error
    unprivileged = [program for program in _MAPPERS if os.getuid() and not _may_map(program)]
    if error.reference == "mapping-refused" and unprivileged:
        paths = " ".join(str(shutil.which(program)) for program in unprivileged)
        return HostError(
            error.reference,
            error.message,
            cause=f"{' and '.join(unprivileged)} lost the right to map ids, as when a container's image is made",
            hint=f"sudo chmod u+s {paths}",
        )
    if error.reference == "no-user-namespaces" and _chrooted():
        return HostError(
            error.reference,
            "this is a chroot, in which the kernel refuses to make user namespaces, to root too",
            where=(error.message,),
            hint="run imagewright outside of the chroot, or in a container in its place",
        )
    if restricted_by_apparmor() and os.getuid():
        return HostError(
            "apparmor-restriction",
            "AppArmor keeps imagewright from using user namespaces",
            cause="kernel.apparmor_restrict_unprivileged_userns is 1 and the launcher has no profile",
            hint="make setup",
        )
    lost = [] if os.getuid() else [name for name, bit in _NEEDED_OF_ROOT.items() if not _capabilities() >> bit & 1]
    if lost:
        return HostError(
            error.reference,
            error.message,
            where=error.where,
            cause=f"root lacks the capabilities {', '.join(lost)} here, as in a container that dropped them",
            hint=f"docker run {' '.join(f'--cap-add {name}' for name in lost)} {_UNMASKED} …",
        )
    filtered = _status("Seccomp") == "2" and (os.getuid() == 0 or _in_container())
    if error.reference == "no-user-namespaces" and filtered:
        return HostError(
            error.reference,
            "this container's seccomp filter refuses the system call unshare: nobody makes user namespaces here",
            where=(error.message,),
            cause="without CAP_SYS_ADMIN a container gets that filter unless its options say otherwise",
            hint=f"docker run {_UNMASKED} … ({_PODMAN}); CAP_SYS_ADMIN and --privileged are not needed",
        )
    if "stage: view" in error.where:
        return HostError(
            "masked-proc",
            "the kernel lets no job have a /proc of its own, because parts of this host's are masked",
            where=(error.message,),
            cause="a container's /proc is masked unless its options say otherwise",
            hint=f"docker run {_UNMASKED} … ({_PODMAN})",
        )
    if error.reference == "no-user-namespaces" and os.getuid() and not _in_container():
        return HostError(
            error.reference,
            error.message,
            where=error.where,
            cause="this host lets ordinary users make none, and the helper for such hosts is not installed",
            hint=helper.INSTALL,
        )
    if "stage: layers" in error.where:
        return HostError(
            "no-overlay",
            "this host's kernel mounts no overlay layers in a user namespace",
            where=(error.message,),
            cause="Linux before 5.11, or the module overlay is not loaded",
            hint="sudo modprobe overlay",
        )
    if _in_container():
        return HostError(
            error.reference,
            error.message,
            where=error.where,
            cause="a container needs permission for user namespaces",
            hint=f"docker run {_UNMASKED} …",
        )
    return error


def _may_map(program: str) -> bool:
    path = shutil.which(program)
    if path is None:
        return False
    return bool(os.stat(path).st_mode & stat.S_ISUID) or "security.capability" in os.listxattr(path)


def _in_container() -> bool:
    return any(Path(name).exists() for name in ("/.dockerenv", "/run/.containerenv", "/run/systemd/container"))


def _chrooted() -> bool:
    """Whether this process has another root than its mount namespace, as far as an ordinary user can tell."""
    own = _mounts("self")
    roots = {number for number, point in own.items() if point == "/"}
    if not own or not roots:
        return bool(own)  # the root is a folder of a mount
    # or it is a mount that somebody outside, such as the first process, sees elsewhere
    others = (_mounts(process) for process in os.listdir("/proc") if process.isdigit())
    return any(other.get(number, "/") != "/" for other in others for number in roots)


def _mounts(process: str) -> dict[str, str]:
    """The mount points that a process sees, by the numbers of the mounts (proc_pid_mountinfo(5))."""
    try:
        lines = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
    except OSError:
        return {}
    return {words[0]: words[4] for words in map(str.split, lines)}


def _capabilities() -> int:
    """The capabilities that this process has in force, as bits."""
    return int(_status("CapEff") or "0", 16)


def _status(key: str) -> str:
    """A line of ``/proc/self/status`` (proc(5))."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:")), "")


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return ""
