"""What keeps this host from making namespaces, found by trying."""

from __future__ import annotations

import tempfile
from pathlib import Path

from imagewright.errors import HostError, ImagewrightError
from imagewright.sandbox.jobs import PythonJob
from imagewright.sandbox.mapping import mapping_of_caller
from imagewright.sandbox.sandbox import Sandbox

_SWITCHES = {
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/user/max_user_namespaces": "0",
}
_RESTRICTION = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def problems() -> tuple[HostError, ...]:
    """Everything that is known to be in the way, with what mends it; empty if a sandbox opens."""
    found: list[HostError] = []
    for name, off in _SWITCHES.items():
        if _value(name) == off:
            switch = name.removeprefix("/proc/sys/").replace("/", ".")
            found.append(
                HostError(
                    "no-user-namespaces",
                    f"this host's setting {switch} is {off}: nobody may make user namespaces",
                    hint=f"sudo sysctl -w {switch}={1 if switch.startswith('kernel') else 10000}",
                )
            )
    try:
        mapping_of_caller()
    except HostError as error:
        found.append(error)
    if found:
        return tuple(found)
    try:
        with tempfile.TemporaryDirectory(prefix="imagewright-probe-") as folder, Sandbox.open(Path(folder)) as sandbox:
            sandbox.call(PythonJob(function="imagewright.sandbox.chores:nothing"), lambda line: None)
    except HostError as error:
        found.append(_explained(error))
    except ImagewrightError as error:
        found.append(HostError("no-sandbox", f"a sandbox does not work here: {error.message}", cause=error.cause))
    return tuple(found)


def restricted_by_apparmor() -> bool:
    """Whether AppArmor keeps programs without a profile from using user namespaces (Ubuntu 24.04 and later)."""
    return _value(str(_RESTRICTION)) == "1"


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


def _explained(error: HostError) -> HostError:
    if restricted_by_apparmor():
        return HostError(
            "apparmor-restriction",
            "AppArmor keeps imagewright from using user namespaces",
            cause="kernel.apparmor_restrict_unprivileged_userns is 1 and the launcher has no profile",
            hint="make setup installs a profile for the launcher",
        )
    return error


def _value(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except OSError:
        return ""
