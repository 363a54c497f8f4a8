"""The package repositories that serve a build alone: who gives them, and whether the package manager takes them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from imagewright.asking import Panel
from imagewright.discovery import Loaded
from imagewright.drivers import PackageManager, PrivateRepositories
from imagewright.errors import ImagewrightError, PlanError, UsageError
from imagewright.metadata import broken
from imagewright.types import BuildContext, Origin, Repository

OPTION = "--repository"

_WORD = re.compile(r"[A-Za-z0-9.][A-Za-z0-9+._~/:-]*")
_LOGIN = re.compile(r"[^\s:]+:\S+")
_PRIVATE_KEY = re.compile(rb"-----BEGIN PGP PRIVATE KEY BLOCK-----")
# in ASCII form, or as a packet of a public key in either of its forms (RFC 9580, 4.2)
_PUBLIC_KEY = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----|\A[\x98-\x9a\xc6]")


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRepository:
    """A repository with who gave it: a flavour, or the option."""

    repository: Repository
    giver: str

    def declaration(self) -> list[object]:
        """What a key covers: everything but the login."""
        one = self.repository
        return [one.address, one.suite, list(one.components), [hashlib.sha256(key).hexdigest() for key in one.keys]]

    def document(self) -> dict[str, Any]:
        """What plan and manifest say: keys by their SHA-256, and of the login that there is one."""
        one = self.repository
        return {
            "given_by": self.giver,
            "address": one.address,
            "suite": one.suite,
            "components": list(one.components),
            "keys": [hashlib.sha256(key).hexdigest() for key in one.keys],
            "login": "***" if one.login else "",
        }

    def secrets(self) -> tuple[str, ...]:
        """The login in every form in which a program could print it."""
        login = str.__str__(self.repository.login)
        if not login:
            return ()
        user, _, password = login.partition(":")
        basic = base64.b64encode(login.encode()).decode()
        forms = (login, f"{user}:{quote(password)}", basic, password, quote(password, safe=""))
        # stars for every "a" would leave nothing of a log
        return tuple(dict.fromkeys(form for form in forms if len(form) > 3))


def given_repositories(
    asked: Sequence[Repository], panel: Panel, flavours: Sequence[Loaded], contexts: Mapping[str, BuildContext]
) -> tuple[GivenRepository, ...]:
    """Those of the user, then those of the flavours in their order, each once, with the release for an empty suite.

    Raises UsageError or ContractError for one that cannot work, PlanError if two differ in key or login alone.
    """
    found: list[tuple[Repository, Origin | None]] = [(one, None) for one in asked]
    for loaded in flavours:
        found += [(one, loaded.origin) for one in panel.repositories(loaded, contexts[loaded.name])]
    release = next((context.release for context in contexts.values()), "")
    given: dict[tuple[str, str, tuple[str, ...]], GivenRepository] = {}
    for repository, origin in found:
        fault = _fault(repository)
        if fault:
            raise _refused(repository, origin, fault)
        one = replace(repository, address=repository.address.rstrip("/"), suite=repository.suite or release)
        giver = origin.flavour if origin else OPTION
        place = (one.address, one.suite, one.components)
        other = given.setdefault(place, GivenRepository(repository=one, giver=giver))
        if other.repository != one:
            raise PlanError(
                "repository-twice",
                f"the repository {one.address} is given twice, with different keys or logins",
                where=(f"given by: {other.giver}", f"given by: {giver}"),
            )
    return tuple(given.values())


def check_taken(given: Sequence[GivenRepository], manager: PackageManager, system: Origin | None) -> None:
    """Raise PlanError if the package manager does not take every repository: one that is left out shows too late."""
    if not given:
        return
    taken = manager.repositories if isinstance(manager, PrivateRepositories) else ()
    left = [one for one in given if one.repository not in taken]
    if left:
        raise PlanError(
            "repositories-not-taken",
            f"the package manager `{manager.name}` takes no repositories that serve the build alone",
            where=(
                *((f"operating system: {system}",) if system else ()),
                *(f"{one.repository.address}: given by {one.giver}" for one in left),
            ),
        )


def _fault(one: Repository) -> str:
    """What is wrong with a repository, as the end of a sentence; empty if nothing is. Never shows the login."""
    parts = urlsplit(one.address)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", one.address):
        return "its address must be one of http or https"
    if "@" in parts.netloc:
        return "its address carries a login, which plans and logs would show"
    words = (*((one.suite,) if one.suite else ()), *one.components)
    if any(_WORD.fullmatch(word) is None for word in words):
        return "its suite and components must be plain words"
    if one.suite.endswith("/") and one.components:
        return "a suite that ends in `/` has no components"
    if not one.suite.endswith("/") and not one.components:
        return "it names no components, such as main"
    if not all(one.keys):
        return "one of its keys is empty"
    if any(_PRIVATE_KEY.search(key) for key in one.keys):
        return "one of its keys is a private one, and only the public one is wanted"
    if not all(_PUBLIC_KEY.search(key) for key in one.keys):
        return "one of its keys is no OpenPGP public key; gpg --armor --export KEY > FILE makes one"
    if one.login and _LOGIN.fullmatch(one.login) is None:
        return "its login must be USER:PASSWORD without white space"
    return ""


def _refused(one: Repository, origin: Origin | None, fault: str) -> ImagewrightError:
    address = re.sub(r"//[^/]*@", "//***@", one.address)
    if origin is not None:
        return broken(
            origin, "bad-repository", f"the repository `{address}` of flavour `{origin.flavour}` is wrong: {fault}"
        )
    return UsageError(
        "bad-repository-option",
        f"`{OPTION} {address}`: {fault}",
        hint=f"{OPTION} 'https://packages.example.org/debian trixie main', and the login by {OPTION}-login FILE",
    )
