"""Repositories that serve the build alone: who may give them, what is refused, and what a plan says of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from imagewright.cli.commands.plans import page
from imagewright.errors import ContractError, ImagewrightError, PlanError, UsageError
from imagewright.planning import plan_document
from imagewright.types import Repository

SYSTEM = """
from dataclasses import dataclass
from imagewright.testing.toy import ToyPackageManager

@dataclass(frozen=True, slots=True, kw_only=True)
class Taking(ToyPackageManager):
    repositories: tuple = ()

    def private_files(self):
        return Tree()

class System(Flavour):
    provides = (OPERATING_SYSTEM,)
    default_release = "first"

    @hookimpl
    def install(self, ctx):
        return [Step(id="10-step", action=Command(argv=("true",)))]

    @hookimpl
    def package_manager(self, ctx):
        return Taking(repositories=ctx.repositories)
"""

TABLE = """
[parameters.acme-login]
secret = true

[repositories.acme]
address = "https://packages.example.org/debian/"
components = ["main", "extra"]
keys = ["acme.asc"]
login = "acme-login"
"""

ACME = Repository(
    address="https://packages.example.org/debian", suite="stable", components=("main",), keys=(b"\x99key",)
)


@pytest.fixture
def taking(shelf):
    shelf.pack("taking", {"system": "System"}, SYSTEM)
    shelf.flavour("acme", TABLE, **{"acme.asc": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"})
    return shelf


def test_a_folders_repository_gets_release_key_and_login(taking):
    prepared = taking.prepare("acme", settings=(("acme", "acme-login", "ann:pa55word"),))
    (given,) = prepared.package_manager.repositories
    assert given == Repository(
        address="https://packages.example.org/debian",
        suite="first",
        components=("main", "extra"),
        keys=(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",),
        login="ann:pa55word",
    )


def test_without_a_value_of_its_parameter_a_repository_has_no_login(taking):
    (given,) = taking.prepare("acme").package_manager.repositories
    assert given.login == ""


def test_no_other_hook_sees_the_logins(taking):
    prepared = taking.prepare("acme", settings=(("acme", "acme-login", "ann:pa55word"),))
    assert prepared.context.repositories == ()


def test_a_class_gives_them_by_its_hook(taking):
    taking.pack(
        "own",
        {"own": "Own"},
        """
        class Own(Flavour):
            @hookimpl
            def repositories(self, ctx):
                yield Repository(address="http://own.example.org/", suite=f"{ctx.release}/", login="ann:pa55word")
        """,
    )
    prepared = taking.prepare("own")
    (given,) = prepared.package_manager.repositories
    assert (given.address, given.suite) == ("http://own.example.org", "first/")
    assert {"ann:pa55word", "pa55word"} <= set(prepared.secrets)


def test_plan_and_manifest_name_the_repository_and_not_its_login(taking):
    document = plan_document(taking.prepare("acme", settings=(("acme", "acme-login", "ann:pa55word"),)))
    (given,) = document["repositories"]
    assert (given["given_by"], given["address"]) == ("acme", "https://packages.example.org/debian")
    assert given["login"] == "***"
    assert len(given["keys"][0]) == 64
    assert "pa55word" not in json.dumps(document)
    assert "BEGIN PGP" not in json.dumps(document)
    shown = page(document)
    assert re.search(r"repositories +https://packages.example.org/debian of acme\n", shown)
    assert "pa55word" not in shown


def test_a_password_of_two_letters_does_not_blacken_the_log(taking):
    prepared = taking.prepare("acme", settings=(("acme", "acme-login", "ann:in"),))
    assert "ann:in" in prepared.secrets
    assert "in" not in prepared.secrets


def keys_of(prepared):
    return {step.name: step.key for step in prepared.plan.steps}


def test_the_keys_of_steps_cover_the_repository_and_not_its_login(taking):
    plain = keys_of(taking.prepare("system"))
    given = keys_of(taking.prepare("system", repositories=(ACME,)))
    other_login = keys_of(taking.prepare("system", repositories=(replace(ACME, login="ann:pa55word"),)))
    assert given == other_login
    assert all(plain[name] != given[name] for name in ("packages/10-resolve", "packages/20-install", "install/10-step"))
    changed = [
        replace(ACME, address="https://other.example.org"),
        replace(ACME, suite="other"),
        replace(ACME, components=("other",)),
        replace(ACME, keys=(b"\x99other",)),
    ]
    found = {keys_of(taking.prepare("system", repositories=(one,)))["packages/10-resolve"] for one in changed}
    assert len(found | {given["packages/10-resolve"]}) == len(changed) + 1


def test_the_same_repository_from_two_is_one(taking):
    asked = replace(ACME, address=f"{ACME.address}/")
    prepared = taking.prepare("system", repositories=(ACME, asked))
    assert prepared.package_manager.repositories == (ACME,)


def test_two_that_differ_in_the_key_alone_are_a_conflict_that_names_both(taking):
    asked = Repository(
        address="https://packages.example.org/debian", suite="first", components=("main", "extra"), keys=(b"\x99other",)
    )
    with pytest.raises(PlanError, match="given twice") as caught:
        taking.prepare("acme", repositories=(asked,))
    assert caught.value.where == ("given by: --repository", "given by: acme")


def test_a_package_manager_that_takes_none_is_named_before_any_work(shelf):
    shelf.pack("toy", {"toy": "imagewright.testing.toy:Toy"})
    with pytest.raises(PlanError, match="`toypm` takes no repositories") as caught:
        shelf.prepare("toy", repositories=(ACME,))
    assert f"{ACME.address}: given by --repository" in caught.value.where


def test_a_system_without_a_package_manager_takes_none(shelf):
    shelf.system()
    with pytest.raises(PlanError, match="takes no repositories"):
        shelf.prepare("system", repositories=(ACME,))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"address": "https://ann:pa55word@example.org/debian"}, "carries a login"),
        ({"address": "file:/srv/debian"}, "must be one of http or https"),
        ({"address": "https://example.org/a b"}, "must be one of http or https"),
        ({"suite": "stable\nTrusted: yes"}, "plain words"),
        ({"components": ("main", "a b")}, "plain words"),
        ({"components": ()}, "names no components"),
        ({"suite": "./"}, "has no components"),
        ({"keys": (b"",)}, "keys is empty"),
        ({"keys": (b"-----BEGIN PGP PRIVATE KEY BLOCK-----",)}, "private one"),
        ({"keys": (b"a page of HTML",)}, "no OpenPGP public key"),
        ({"login": "pa55word"}, "USER:PASSWORD"),
        ({"login": "ann:pa55word\nmachine x"}, "USER:PASSWORD"),
    ],
)
def test_what_cannot_work_is_refused_and_the_login_not_shown(taking, change, fault):
    with pytest.raises(UsageError, match=fault) as caught:
        taking.prepare("system", repositories=(replace(ACME, **change),))
    assert "pa55word" not in str(caught.value)


def test_a_flavour_with_a_wrong_repository_is_named(taking):
    taking.flavour("wrong", '[repositories.x]\naddress = "ftp://example.org"\ncomponents = ["main"]')
    with pytest.raises(ContractError, match="of flavour `wrong` is wrong: its address"):
        taking.prepare("wrong")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[repositories.x]\naddress = "https://x"\nlogin = "token"', "name of a secret parameter"),
        ('[parameters.token]\n[repositories.x]\naddress = "https://x"\nlogin = "token"', "name of a secret parameter"),
        ('[repositories.x]\nadress = "https://x"', "did you mean `address`?"),
        ('[repositories.x]\naddress = "https://x"\nkeys = ["absent.asc"]', "absent.asc"),
    ],
)
def test_a_table_that_cannot_work_says_why(taking, toml, message):
    taking.flavour("wrong", toml)
    with pytest.raises(ImagewrightError) as caught:
        taking.prepare("wrong")
    assert message in str(caught.value)
    assert isinstance(caught.value, ContractError)
