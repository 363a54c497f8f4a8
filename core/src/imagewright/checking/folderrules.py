"""Rules about what lies in a flavour's folder, and about what it says of itself."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from imagewright.checking.findings import Hit, Level, Rule
from imagewright.checking.subjects import FlavourSubject, content
from imagewright.entrypoints import FLAVOUR_NAME
from imagewright.flavourtoml import KEYS, PARAMETER_KEYS
from imagewright.scripts import NUMBERED, STEP_ID
from imagewright.types import API_VERSION, Phase

LONGEST_SUMMARY = 80

ANCESTORS = {
    "binary-deps.d": "the file `binary-deps`",
    "environment.d": "`[parameters.NAME]` in flavour.toml",
    "init.d": "the file `init`",
    "packages.d": "`packages = [...]` in flavour.toml",
    "post-root.d": "`cleanup.d`, or `finalise.d` for what runs inside the target",
    "pre-finalise.d": "`finalise.d`, or `cleanup.d` for what runs outside the target",
    "pre-finalize.d": "`finalise.d`, or `cleanup.d` for what runs outside the target",
    "ramdisk-install.d": "the folder `files`",
    "udev.d": "the folder `udev`",
}
"""Folders that image tools of old know, with what takes their place."""

ANCESTOR_FILES = {
    "block-device-default.yaml": "the flavour `vm`, a script in `block-device.d`, or a `Layout` from a class",
    "element-deps": "`requires = [...]` in flavour.toml",
    "element-provides": "`provides = [...]` in flavour.toml",
    "package-installs.json": "`packages = [...]` in flavour.toml",
    "package-installs.yaml": "`packages = [...]` in flavour.toml",
    "pkg-map": "a flavour for each operating system, or a class",
    "source-repository-*": "a script that fetches by digest",
    "svc-map": "a flavour for each operating system, or a class",
}
"""Files that image tools of old read in a flavour's folder, with what takes their place."""

SECRET = re.compile(r"(^|-)(password|passphrase|secret|token|credentials?|api-key|private-key)$")


def _readme(flavour: FlavourSubject) -> Iterator[Hit]:
    unknown = flavour.python and flavour.folder is None and flavour.failure is not None
    if not flavour.has_readme and not unknown:
        where = "README.md" if flavour.folder is not None else ""
        fix = "write README.md: what the flavour is for, and what its parameters do"
        if flavour.python:
            fix += "; a class without a folder may say it in its docstring"
        yield Hit(file=where, message="there is no README.md, or it is empty", fix=fix)


def _summary(flavour: FlavourSubject) -> Iterator[Hit]:
    summary = flavour.metadata.summary
    where = "" if flavour.folder is None else "flavour.toml"
    if not flavour.failure and not summary.strip():
        fix = 'summary = "..." in flavour.toml' + (", or in the class" if flavour.python else "")
        yield Hit(file=where, message="there is no summary", fix=fix)
    elif "\n" in summary or len(summary) > LONGEST_SUMMARY:
        fix = f"one line of at most {LONGEST_SUMMARY} characters; the rest belongs into README.md"
        yield Hit(file=where, message=f"the summary has {len(summary)} characters", fix=fix)


def _contract(flavour: FlavourSubject) -> Iterator[Hit]:
    if not flavour.names_contract:
        fix = f"api_version = {API_VERSION} in the class"
        yield Hit(file="", message="the class does not say for which version of the contract it is written", fix=fix)


def _name(flavour: FlavourSubject) -> Iterator[Hit]:
    if FLAVOUR_NAME.fullmatch(flavour.name) is None:
        wanted = re.sub(r"[^a-z0-9]+", "-", flavour.name.lower()).strip("-") or "my-flavour"
        yield Hit(file="", message=f"`{flavour.name}` cannot be the name of a flavour", fix=f"call it `{wanted}`")


def _phase_folder(flavour: FlavourSubject) -> Iterator[Hit]:
    if flavour.folder is None:
        return
    phases = [phase.folder for phase in Phase if phase is not Phase.PACKAGES]
    for path in sorted(flavour.folder.iterdir()):
        if not path.is_dir() or path.name in phases:
            continue
        bare = re.sub(r"[-_.]?d$", "", path.name.lower().replace("_", "-"))
        misspelt = path.name.endswith(".d") or f"{bare}.d" in phases
        if misspelt:
            yield Hit(
                file=path.name,
                message=f"`{path.name}` is the folder of no phase",
                fix=_right_folder(path.name, bare, phases),
            )


def _right_folder(name: str, bare: str, phases: list[str]) -> str:
    if name in ANCESTORS:
        return f"here it is {ANCESTORS[name]}"
    near = get_close_matches(f"{bare.replace('finalize', 'finalise')}.d", phases, n=1, cutoff=0.5)
    return f"call it `{near[0]}`" if near else f"the phases are {', '.join(phases)}"


def _unread_file(flavour: FlavourSubject) -> Iterator[Hit]:
    if flavour.folder is None:
        return
    for path in sorted(flavour.folder.iterdir()):
        for pattern, instead in ANCESTOR_FILES.items():
            if fnmatchcase(path.name, pattern) and path.is_file():
                fix = f"here it is {instead}; then remove the file"
                yield Hit(file=path.name, message=f"`{path.name}` is read by nobody", fix=fix)


def _root(flavour: FlavourSubject) -> Iterator[Hit]:
    if flavour.folder is not None and (flavour.folder / "root.d").is_dir() and not flavour.operating_system:
        yield Hit(
            file="root.d",
            message="`root.d` belongs to operating-system flavours, and this is none",
            fix='move the scripts to `pre-install.d`, or say `provides = ["operating-system"]` in flavour.toml',
        )


def _execute_bit(flavour: FlavourSubject) -> Iterator[Hit]:
    for phase, folder in flavour.phase_folders():
        for path in _direct(folder):
            if NUMBERED.match(path.name) and not _executable(path):
                name = f"{phase.folder}/{path.name}"
                yield Hit(file=name, message="the script lacks its execute bit", fix=f"chmod +x {name}")


def _skipped_name(flavour: FlavourSubject) -> Iterator[Hit]:
    for phase, folder in flavour.phase_folders():
        for path in _direct(folder):
            if _executable(path) and not STEP_ID.fullmatch(path.name):
                yield Hit(
                    file=f"{phase.folder}/{path.name}",
                    message=f"`{path.name}` is executable, and its name is not NN-name",
                    fix=f"call it `{_step_name(path.name)}`; a helper that scripts call belongs into a sub-folder",
                )


def _never_run(flavour: FlavourSubject) -> Iterator[Hit]:
    for phase, folder in flavour.phase_folders():
        files = _direct(folder)
        for path in files:
            if _executable(path) or NUMBERED.match(path.name) or not content(path).startswith(b"#!"):
                continue
            others = [other for other in files if other != path]
            if not any(path.name.encode() in content(other) for other in others):
                yield Hit(
                    file=f"{phase.folder}/{path.name}",
                    message="it begins like a script, and nothing runs or reads it",
                    fix=f"chmod +x it and call it `{_step_name(path.name)}`, or remove it",
                )


def _toml(flavour: FlavourSubject) -> Iterator[Hit]:
    if flavour.folder is None or not (flavour.folder / "flavour.toml").exists():
        return
    if flavour.toml is None:
        cause = flavour.failure.cause if flavour.failure is not None else ""
        yield Hit(
            file="flavour.toml",
            message=f"it is no TOML: {cause}" if cause else "it is no TOML",
            fix="correct the line that is named",
        )
        return
    yield from _unknown(flavour.toml, KEYS, "")
    parameters = flavour.toml.get("parameters")
    for name, table in parameters.items() if isinstance(parameters, dict) else ():
        if isinstance(table, dict):
            yield from _unknown(table, PARAMETER_KEYS, f"parameters.{name}.")


def _unknown(table: object, keys: tuple[str, ...], at: str) -> Iterator[Hit]:
    for key in table if isinstance(table, dict) else ():
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            fix = f"did you mean `{at}{near[0]}`?" if near else f"the keys are {', '.join(keys)}"
            yield Hit(file="flavour.toml", message=f"`{at}{key}` is no key of it", fix=fix)


def _parameter_help(flavour: FlavourSubject) -> Iterator[Hit]:
    for parameter in flavour.metadata.parameters:
        if not parameter.help.strip():
            yield Hit(
                file="flavour.toml" if flavour.folder is not None else "",
                message=f"the parameter `{parameter.name}` has no help",
                fix=f'help = "..." for `{parameter.name}`: what it is, with an example',
            )


def _open_secret(flavour: FlavourSubject) -> Iterator[Hit]:
    for parameter in flavour.metadata.parameters:
        if SECRET.search(parameter.name) and not parameter.secret and parameter.type != "path":
            yield Hit(
                file="flavour.toml" if flavour.folder is not None else "",
                message=f"the parameter `{parameter.name}` sounds like a secret and is not declared as one",
                fix=f"secret = true for `{parameter.name}`",
            )


COVERED = frozenset(
    {
        "bad-flavour-toml",
        "no-packages-folder",
        "root-without-operating-system",
        "script-name-skipped",
        "script-not-executable",
        "unknown-key",
        "unknown-phase-folder",
    }
)
"""Failures of loading that a rule of this page describes better."""


def _loads(flavour: FlavourSubject) -> Iterator[Hit]:
    failure = flavour.failure
    if failure is not None and failure.reference not in COVERED:
        message = f"{failure.message}: {failure.cause}" if failure.cause else failure.message
        yield Hit(file="", message=message, fix=failure.hint or "correct what the message names")


def _direct(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file()]


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def _step_name(name: str) -> str:
    wanted = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\.(sh|bash|py)$", "", name.lower())).strip("-")
    if STEP_ID.fullmatch(wanted):
        return wanted
    return f"50-{re.sub(r'^[0-9]+-?', '', wanted) or 'script'}"


RULES: tuple[Rule[FlavourSubject], ...] = (
    Rule(
        name="does-not-load",
        what="what keeps the flavour from loading",
        reason="a build that names the flavour stops with this message",
        check=_loads,
    ),
    Rule(
        name="flavour-name",
        what="a name that no flavour can have",
        reason="a name consists of lower-case letters, digits, and single dashes or underscores between them",
        check=_name,
    ),
    Rule(
        name="missing-readme",
        what="no `README.md`",
        reason="`imagewright flavours show` prints it, and nothing else says what the flavour is for",
        check=_readme,
    ),
    Rule(
        name="missing-summary",
        what="no summary, or one that is no line",
        reason="`imagewright flavours list` shows it; without it nobody finds the flavour",
        check=_summary,
    ),
    Rule(
        name="contract-version",
        what="a class that does not say `api_version`",
        reason="it would pass for one of whatever contract is newest, and its users would hear of no removal",
        check=_contract,
        level=Level.WARNING,
    ),
    Rule(
        name="unknown-phase-folder",
        what="a folder that is nearly the folder of a phase",
        reason="its scripts would never run",
        check=_phase_folder,
    ),
    Rule(
        name="unread-file",
        what="a file that says something to other image tools alone, such as `element-deps`",
        reason="it is data here, and what it says is lost",
        check=_unread_file,
        level=Level.WARNING,
    ),
    Rule(
        name="root-folder",
        what="`root.d` in a flavour that is no operating system",
        reason="the operating-system flavour alone makes the root tree",
        check=_root,
    ),
    Rule(
        name="execute-bit",
        what="a file `NN-name` that is not executable",
        reason="a script without its execute bit would never run",
        check=_execute_bit,
    ),
    Rule(
        name="skipped-name",
        what="an executable that is not called `NN-name`",
        reason="a step is named by two digits, a dash, and lower-case letters, digits and dashes",
        check=_skipped_name,
    ),
    Rule(
        name="never-run",
        what="a script that is neither executable nor named like a step nor mentioned by one",
        reason="it is data that nobody reads, and was probably meant to run",
        check=_never_run,
        level=Level.WARNING,
    ),
    Rule(
        name="flavour-toml",
        what="`flavour.toml` that is no TOML, and unknown keys in it",
        reason="a misspelt key would change nothing, so the build refuses it",
        check=_toml,
    ),
    Rule(
        name="parameter-help",
        what="a parameter without help",
        reason="`imagewright flavours show` and the error for a missing value show it",
        check=_parameter_help,
    ),
    Rule(
        name="open-secret",
        what="a parameter named like a secret that is not declared `secret`",
        reason="only what is declared secret stays out of logs, manifests and keys",
        check=_open_secret,
    ),
)
"""The rules of this page, in the order of their findings."""
