"""The package repositories that the options name, with their keys and logins read from files."""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imagewright.errors import UsageError
from imagewright.types import Repository


def repositories_of(values: Mapping[str, Any]) -> tuple[Repository, ...]:
    """Those of ``--repository``: each with all keys of ``--repository-key``, and the login that the file has for it.

    Raises UsageError for a file that cannot be used, and for a key or login without a repository.
    """
    asked = tuple(_asked(text) for text in values["repository"])
    keys, logins = tuple(values["repository-key"]), values["repository-login"]
    if not asked:
        for option, given in (("--repository-key", keys), ("--repository-login", logins)):
            if given:
                raise UsageError(
                    "no-repository",
                    f"`{option}` is given, and no repository",
                    hint="--repository 'URL SUITE COMPONENT...' names one",
                )
        return ()
    contents = tuple(_key(path) for path in keys)
    found = _logins(logins) if logins else {}
    made = tuple(replace(one, keys=contents, login=_login(one.address, found)) for one in asked)
    if logins and not any(one.login for one in made):
        raise UsageError(
            "login-of-no-repository",
            f"`{logins}` has a login for none of the repositories",
            where=tuple(f"repository: {one.address}" for one in made),
            hint="a line of it is: machine HOST login USER password PASSWORD",
        )
    return made


def _asked(text: str) -> Repository:
    address, suite, *components = text.split()
    return Repository(address=address, suite=suite, components=tuple(components))


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _logins(path: Path) -> dict[str, str]:
    """The logins of a file in the form of netrc(5) and apt_auth.conf(5), by machine."""
    try:
        hosts = netrc.netrc(str(path)).hosts
    except netrc.NetrcParseError as error:
        # its message repeats a word of the file, which may be the password
        raise UsageError(
            "bad-login-file",
            f"line {error.lineno} of `{path}` is no login",
            hint="a line of it is: machine HOST login USER password PASSWORD",
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError("bad-login-file", f"`{path}` is no text") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    return {machine: f"{login}:{password}" for machine, (login, _, password) in hosts.items()}


def _login(address: str, logins: Mapping[str, str]) -> str:
    """The login of the machine that fits the address best: with path before without, then ``default``."""
    parts = urlsplit(address)
    places = {f"{host}{parts.path}" for host in (parts.netloc, parts.hostname)}
    fitting = [
        machine
        for machine in logins
        if any(f"{place}/".startswith(f"{machine.rpartition('://')[2].rstrip('/')}/") for place in places)
    ]
    return logins[max(fitting, key=len)] if fitting else logins.get("default", "")


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError("file-unreadable", f"cannot read `{path}`: {(error.strerror or str(error)).lower()}")
