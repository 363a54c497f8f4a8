"""The environment of scripts, as far as the plan knows it.

The engine adds what it alone knows: ``TARGET_ROOT``, ``IMAGE_SIZE``, ``IMAGE_BLOCK_DEVICE``, ``TMP_HOOKS_PATH``,
``IMAGE_KERNEL``, ``_LIB``, ``SOURCE_DATE_EPOCH``, and the caller's proxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from imagewright.plan import CORE, PlannedStep
from imagewright.planning.keys import SCRIPTS_ONLY
from imagewright.planning.prepared import Prepared
from imagewright.types import BuildContext, Place, Plain, Script

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CALLERS = ("HOME", "USER", "LOGNAME", "PATH", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
"""What the phases that the caller runs on the host keep of the caller's environment."""

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
"""What steps that have a network get of the caller's environment, in both spellings."""


def proxy_secrets(caller: Mapping[str, str]) -> tuple[str, ...]:
    """The credentials in the addresses of the caller's proxies, as they are written and as they are meant."""
    found = set()
    for name in PROXIES:
        for value in (caller.get(name, ""), caller.get(name.upper(), "")):
            login, _, rest = value.rpartition("@")
            _user, _, password = login.rpartition("//")[2].partition(":")
            if rest and password:
                found |= {password, unquote(password)}
    return tuple(sorted(found))


def common_environment(context: BuildContext) -> dict[str, str]:
    """What every script gets."""
    return {
        "ARCH": context.arch,
        "RELEASE": context.release,
        "IMAGE_NAME": context.image_name,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": PATH,
    }


def late_environment(context: BuildContext) -> dict[str, str]:
    """What scripts get besides from ``finalise`` on; ``IMAGE_ROOT_UUID`` follows from the plan."""
    return {"IMAGE_ROOT_LABEL": context.root_label, "IMAGE_KERNEL_ARGUMENTS": context.kernel_arguments}


def environment_for(prepared: Prepared, step: PlannedStep, caller: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of one step; ``caller`` is the caller's own, for the phases that run on the host."""
    environment = dict(prepared.environment)
    if not isinstance(step.step.action, Script):
        environment = {name: value for name, value in environment.items() if name not in SCRIPTS_ONLY}
    place = step.phase.place
    if place is Place.HOST:
        given = caller or {}
        environment |= {name: given[name] for name in CALLERS if given.get(name)}
    elif place is Place.BOOTED:
        environment["HOME"] = "/root"
    else:
        environment |= {"HOME": "/root", "USER": "root", "LOGNAME": "root"}
    if place is Place.TARGET:
        environment |= {"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true"}
    if step.origin == CORE:
        return environment
    chosen = prepared.plan.flavour(step.origin.flavour)
    if chosen is not None:
        values = prepared.parameters.get(chosen.name, {})
        for one in chosen.parameters:
            text = as_text(values.get(one.name))
            # the long name never means anything else; the short one is as scripts of old expect it
            environment[f"{chosen.name}_{one.name}".upper().replace("-", "_")] = text
            environment[one.variable] = text
    return environment


def as_text(value: Plain) -> str:
    """A parameter's value as scripts see it: ``true`` and ``false``; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str.__str__(value) if isinstance(value, str) else str(value)
