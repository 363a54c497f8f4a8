"""Rules about variables: what a script reads, and who would have to set it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from imagewright.checking.contract import VARIABLES
from imagewright.checking.findings import Hit, Rule
from imagewright.checking.scriptrules import place_of
from imagewright.checking.shell import read_script
from imagewright.checking.subjects import FlavourSubject, ScriptSubject
from imagewright.types import Phase, Place

SHELLS_OWN = frozenset(
    (
        "BASH",
        "BASHOPTS",
        "COLUMNS",
        "DIRSTACK",
        "EPOCHREALTIME",
        "EPOCHSECONDS",
        "EUID",
        "FUNCNAME",
        "GROUPS",
        "HOSTNAME",
        "IFS",
        "LINENO",
        "LINES",
        "MAPFILE",
        "OLDPWD",
        "OPTARG",
        "OPTERR",
        "OPTIND",
        "PIPESTATUS",
        "PPID",
        "PS1",
        "PS2",
        "PS4",
        "PWD",
        "RANDOM",
        "REPLY",
        "SECONDS",
        "SHELLOPTS",
        "SHLVL",
        "UID",
    )
)
"""Variables that a shell sets itself."""

CONTRACT = frozenset(variable.name for variable in VARIABLES)
SCRIPT_PHASES = tuple(phase for phase in Phase if phase is not Phase.PACKAGES)
_UPPER = re.compile(r"[A-Z_][A-Z0-9_]*")
_PYTHON = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\()\s*["']([A-Za-z_][A-Za-z0-9_]*)["']""")


ANCESTORS = {
    **dict.fromkeys(("DIB_ARGS", "DIB_ENV"), "leave it out: the manifest says what was built"),
    "DIB_DEBUG_TRACE": "leave it out: `-x` traces scripts by itself",
    "DIB_OFFLINE": "leave it out: with `--offline` the build has no network",
    "DIB_RELEASE": "here it is `RELEASE`",
    "DIB_ROOT_LABEL": "here it is `IMAGE_ROOT_LABEL`",
    **dict.fromkeys(("DIB_INIT_SYSTEM", "DISTRO_NAME"), "/etc/os-release of the target says it"),
    "IMAGE_BLOCK_DEVICES": "here it is `IMAGE_BLOCK_DEVICE`, in block-device.d",
    "IMAGE_ELEMENT": "a class has `ctx.flavours`",
    **dict.fromkeys(
        ("TMP_BUILD_DIR", "TMP_IMAGE_DIR", "TMP_MOUNT_PATH"),
        "here it is `TARGET_ROOT`, in root.d, cleanup.d and block-device.d; inside the target it is `/`",
    ),
}
"""Variables that image tools of old set, with what takes their place."""


def _undeclared(flavour: FlavourSubject) -> Iterator[Hit]:
    for script in flavour.scripts:
        if script.phase is None:
            continue
        known = _known(flavour, script)
        if known is None:
            continue
        seen: set[str] = set()
        for name, line in _uses(script):
            if name in known or name in seen or not _UPPER.fullmatch(name) or name.startswith("BASH_"):
                continue
            seen.add(name)
            if name in script.reading.optional and name in CONTRACT:
                continue
            message, fix = _explained(flavour, script, name, known)
            yield Hit(file=script.file, line=line, message=message, fix=fix)


def _known(flavour: FlavourSubject, script: ScriptSubject) -> frozenset[str] | None:
    """The variables that a script may read; None if it sources what only the image has, and nobody can tell."""
    known = {variable.name for variable in VARIABLES if script.phase is not None and variable.in_phase(script.phase)}
    known |= SHELLS_OWN | script.reading.assigned | _parameters(flavour, script)
    for source in script.reading.sources:
        if source.endswith(("_LIB/die", "_LIB}/die")):
            continue
        beside = next((content for name, content in script.beside.items() if source.endswith(f"/{name}")), None)
        if beside is None:
            return None
        known |= read_script(beside.decode(errors="replace")).assigned
    return frozenset(known)


def _parameters(flavour: FlavourSubject, script: ScriptSubject) -> set[str]:
    booted = place_of(script) is Place.BOOTED
    names: set[str] = set()
    for parameter in flavour.metadata.parameters:
        if booted and parameter.secret:
            continue
        names.add(parameter.variable)
        if not booted:
            names.add(f"{flavour.name}_{parameter.name}".upper().replace("-", "_"))
    return names


def _uses(script: ScriptSubject) -> Iterator[tuple[str, int]]:
    yield from script.reading.uses
    if script.interpreter.startswith("python"):
        for number, line in enumerate(script.text.splitlines(), 1):
            yield from ((name, number) for name in _PYTHON.findall(line))


def _explained(flavour: FlavourSubject, script: ScriptSubject, name: str, known: frozenset[str]) -> tuple[str, str]:
    """The message and the fix."""
    elsewhere = [variable for variable in VARIABLES if variable.name == name]
    if elsewhere:
        where = ", ".join(str(phase) for phase in SCRIPT_PHASES if elsewhere[0].in_phase(phase))
        return f"`{name}` is not set in {script.phase}", f"it is set in {where}"
    for parameter in flavour.metadata.parameters:
        if parameter.secret and parameter.variable == name:
            return f"`{name}` is a secret, and secrets are in no image", "take it from metadata at boot"
    if name in ANCESTORS:
        return f"nothing sets `{name}`", ANCESTORS[name]
    near = get_close_matches(name, [one for one in known if _UPPER.fullmatch(one)], n=1, cutoff=0.8)
    declare = f"declare it in flavour.toml: [parameters.{name.lower().replace('_', '-').strip('-')}]"
    return (
        f"nothing sets `{name}`",
        f"did you mean `{near[0]}`? Else {declare}" if near else declare,
    )


def _reads(flavour: FlavourSubject) -> Iterator[Hit]:
    if flavour.metadata.reads:
        return
    for script in flavour.scripts:
        if place_of(script) is not Place.HOST:
            continue
        lines = [line for name, line in script.reading.uses if name == "HOME"]
        lines += [one.line for one in script.reading.commands if any(re.match(r"~(/|$)", word) for word in one.words)]
        if lines:
            yield Hit(
                file=script.file,
                line=min(lines),
                message="it reads the caller's home, and the flavour does not say so",
                fix='say what in flavour.toml, such as: reads = ["~/.config/NAME"]',
            )


RULES: tuple[Rule[FlavourSubject], ...] = (
    Rule(
        name="undeclared-variable",
        what="a variable that neither the contract nor the script nor a declared parameter sets",
        reason="scripts see the contract's variables and their own parameters, nothing else of the caller's",
        check=_undeclared,
    ),
    Rule(
        name="undeclared-reading",
        what="a script of the host that uses `$HOME`, in a flavour without `reads`",
        reason="`--for-publishing` refuses flavours that read private files, and goes by what they declare",
        check=_reads,
    ),
)
"""The rules of this page, in the order of their findings."""
