from __future__ import annotations

import json

import pytest
from imagewright.errors import PlanError
from imagewright.planning import SECRETS, plan_document, secrets_digest
from imagewright.types import Phase

SCRIPT = "#!/bin/sh\n"


@pytest.fixture
def web(shelf):
    shelf.system()
    shelf.flavour("lib", **{"install.d/10-lib": SCRIPT, "install.d/data": "1"})
    shelf.flavour("other", **{"install.d/20-other": SCRIPT})
    shelf.flavour(
        "web",
        'requires = ["lib"]\n[parameters.word]\n[parameters.token]\nsecret = true\n',
        **{
            "install.d/30-web": SCRIPT,
            "static/etc/web": "1",
            "block-device-size.d/10-size": SCRIPT,
            "extra-data.d/10-x": SCRIPT,
            "first-boot.d/10-x": SCRIPT,
            "block-device.d/10-x": SCRIPT,
        },
    )
    return shelf


def keys(shelf, **options):
    return {step.name: step.key for step in shelf.prepare("other", "web", **options).plan.steps}


def changed(before, after):
    assert before.keys() == after.keys()
    return [name for name in before if before[name] != after[name]]


def test_the_same_request_has_the_same_keys(web):
    assert keys(web) == keys(web)


def test_a_changed_script_changes_its_key_and_those_behind_it(web):
    before = keys(web)
    web.write(web.folder / "other/install.d/20-other", SCRIPT + "echo\n")
    assert changed(before, keys(web)) == [
        "install/20-other",
        "install/30-web",
        "finalise/90-first-boot",
        "block-device/10-x",
        "first-boot/10-x",
    ]


def test_a_changed_data_file_of_a_required_flavour_changes_the_steps_that_see_it(web):
    before = keys(web)
    web.write(web.folder / "lib/install.d/data", "2")
    assert changed(before, keys(web))[0] in {"block-device-size/10-size", "extra-data/10-x"}
    assert "install/10-lib" in changed(before, keys(web))
    assert "root/10-root-system" not in changed(before, keys(web))


def test_size_and_extra_data_scripts_do_not_change_the_keys_of_other_flavours_layers(web):
    before = keys(web)
    web.write(web.folder / "web/extra-data.d/10-x", SCRIPT + "echo\n")
    assert "install/20-other" not in changed(before, keys(web))
    assert "extra-data/10-x" in changed(before, keys(web))


def test_a_parameter_changes_the_keys_of_its_flavour(web):
    before = keys(web)
    after = keys(web, settings=(("web", "word", "x"),))
    assert "install/30-web" in changed(before, after)
    assert "install/20-other" not in changed(before, after)
    assert "install/00-static-web" not in changed(before, after)


def test_a_secret_is_in_no_key_but_is_a_fact(web):
    before = keys(web)
    assert changed(before, keys(web, settings=(("web", "token", "hunter2"),))) == []
    prepared = web.prepare("web", settings=(("web", "token", "hunter2"),))
    steps = {step.name: step.facts for step in prepared.plan.steps}
    assert SECRETS in steps["install/30-web"]
    assert SECRETS not in steps["root/10-root-system"]


def test_the_digest_of_secrets_depends_on_the_value_and_the_salt(web):
    def digest(token, salt):
        return secrets_digest(web.prepare("web", settings=(("web", "token", token),)).plan.flavours, salt)

    assert digest("a", b"salt") == digest("a", b"salt")
    assert len({digest("a", b"salt"), digest("b", b"salt"), digest("a", b"pepper")}) == 3
    assert secrets_digest(web.prepare("other").plan.flavours, b"salt") == ""


def test_a_secret_is_in_no_representation_and_no_document(shelf):
    shelf.system()
    shelf.pack(
        "leaky",
        {"leaky": "Leaky"},
        """
        class Leaky(Flavour):
            parameters = (Parameter(name="token", secret=True),)
            @hookimpl
            def install(self, ctx):
                token = ctx.parameters["token"]
                yield Step(id="10-a", action=Command(argv=("login", f"--token={token}")), summary=f"with {token}")
        """,
    )
    prepared = shelf.prepare("leaky", settings=(("leaky", "token", "hunter2"),))
    assert prepared.secrets == ("hunter2",)
    assert prepared.parameters["leaky"]["token"] == "hunter2"
    assert "hunter2" not in repr(prepared.parameters)
    assert "hunter2" not in repr(prepared.plan.flavours)
    text = json.dumps(plan_document(prepared))
    assert "hunter2" not in text
    assert "--token=***" in text
    # neither is there a digest in which it could be guessed
    other = shelf.prepare("leaky", settings=(("leaky", "token", "x"),))
    assert [step.key for step in prepared.plan.steps] == [step.key for step in other.plan.steps]


def test_the_name_of_the_image_changes_only_steps_that_see_it(shelf):
    shelf.system()
    shelf.pack(
        "calm",
        {"calm": "Calm"},
        """
        class Calm(Flavour):
            @hookimpl
            def pre_install(self, ctx):
                yield Step(id="10-calm", action=Command(argv=("true",)))
            @hookimpl
            def install(self, ctx):
                yield Step(id="10-script", action=Script(content=b"#!/bin/sh"))
        """,
    )
    from dataclasses import replace

    from imagewright.planning import prepare

    request = shelf.request("calm")
    one = prepare(request).plan
    two = prepare(replace(request, output=shelf.root / "other")).plan
    assert one.of(Phase.INSTALL)[0].key != two.of(Phase.INSTALL)[0].key
    # the root script before it sees the name as well
    assert one.of(Phase.ROOT)[0].key != two.of(Phase.ROOT)[0].key


def test_two_different_files_at_one_place_of_a_merged_tree_name_both_flavours(shelf):
    shelf.system()
    shelf.flavour("lib", **{"install.d/10-lib": SCRIPT, "install.d/data": "1"})
    shelf.flavour("web", 'requires = ["lib"]', **{"install.d/20-web": SCRIPT, "install.d/data": "2"})
    with pytest.raises(PlanError) as caught:
        shelf.prepare("web")
    assert str(caught.value) == (
        "flavours `lib` and `web` both have a file `install.d/data`, and the two differ\n"
        f"  lib ({shelf.folder}/lib)\n"
        f"  web ({shelf.folder}/web)\n"
        "cause: the steps of `web` see the files of both in one folder\n"
        "hint: give one of them another name"
    )


def test_flavours_that_do_not_see_each_other_may_have_different_files_of_one_name(shelf):
    shelf.system()
    shelf.flavour("one", **{"install.d/10-one": SCRIPT, "install.d/data": "1"})
    shelf.flavour("two", **{"install.d/20-two": SCRIPT, "install.d/data": "2"})
    assert len(shelf.prepare("one", "two").plan.of(Phase.INSTALL)) == 2
