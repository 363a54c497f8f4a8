from __future__ import annotations

import json

from imagewright.planning import EXTRA_DATA, PACKAGE_VERSIONS, environment_for, merged_hooks, plan_document
from imagewright.types import Command, Packages, Phase, Put, Script, Step

SCRIPT = "#!/bin/sh\n"

MANAGER = """
class Manager:
    name = "toy"
    def build_files(self, environment): return Tree()
    def cache_folders(self): return {}
    def refresh(self): return None
    def resolve(self, names): return None
    def parse_resolution(self, output): return ()
    def install(self, names): return None
    def listing(self): return None
    def parse_listing(self, output): return ()
    def moment(self): return None
class System(Flavour):
    provides = (OPERATING_SYSTEM,)
    default_release = "one"
    @hookimpl
    def root(self, ctx):
        return [Step(id="10-root", action=Command(argv=("make-root", ctx.release)))]
    @hookimpl
    def package_manager(self, ctx):
        return Manager()
"""


def names(prepared):
    return [f"{step.origin.flavour}:{step.name}" for step in prepared.plan.steps]


def test_steps_of_all_flavours_are_ordered_by_number_then_name(shelf):
    shelf.system(**{"install.d/50-middle": SCRIPT})
    shelf.flavour("web", **{"install.d/10-b": SCRIPT, "install.d/60-late": SCRIPT})
    shelf.flavour("database", **{"install.d/10-a": SCRIPT, "pre-install.d/90-sources": SCRIPT})
    assert names(shelf.prepare("web", "database")) == [
        "system:root/10-root-system",
        "database:pre-install/90-sources",
        "database:install/10-a",
        "web:install/10-b",
        "system:install/50-middle",
        "web:install/60-late",
    ]


def test_edges_of_a_flavour_toml_move_a_step(shelf):
    shelf.system()
    shelf.flavour("web", '[edges.install.10-a]\nafter = ["50-b", "99-absent"]', **{"install.d/10-a": SCRIPT})
    shelf.flavour("other", **{"install.d/50-b": SCRIPT, "install.d/20-c": SCRIPT})
    assert names(shelf.prepare("web", "other"))[1:] == [
        "other:install/20-c",
        "other:install/50-b",
        "web:install/10-a",
    ]


def test_the_operating_system_comes_first_then_base_then_requirements_before_who_requires_them(shelf):
    shelf.system()
    shelf.flavour("base")
    shelf.flavour("ssh")
    shelf.flavour("web", 'requires = ["ssh"]')
    shelf.flavour("tool")
    prepared = shelf.prepare("web", "tool", "system", skip_base=False)
    assert prepared.context.flavours == ("system", "base", "ssh", "web", "tool")
    assert prepared.plan.flavour("web").requires == ("ssh",)


def test_base_is_left_out_on_request_and_is_no_error_if_it_is_not_installed(shelf):
    shelf.system()
    assert shelf.prepare("system", overrides=(), skip_base=True).context.flavours == ("system",)


def test_a_requirement_may_be_what_another_chosen_flavour_provides(shelf):
    shelf.system()
    shelf.flavour("apache", 'provides = ["web-server"]')
    shelf.flavour("site", 'requires = ["web-server", "operating-system"]')
    prepared = shelf.prepare("site", "apache")
    assert prepared.context.flavours == ("system", "apache", "site")
    assert prepared.plan.flavour("site").requires == ("system", "apache")


def test_the_default_operating_system_is_added_if_none_is_named(shelf):
    shelf.system("debian")
    shelf.flavour("web")
    prepared = shelf.prepare("web", default_operating_system="debian")
    assert prepared.plan.operating_system == "debian"
    assert prepared.context.flavours == ("debian", "web")


def test_all_packages_are_one_transaction_and_say_who_wants_them(shelf):
    shelf.pack("toy-os", {"toy": "System"}, MANAGER)
    shelf.flavour("web", 'packages = ["nginx", "curl"]')
    shelf.pack(
        "more",
        {"more": "More"},
        """
        class More(Flavour):
            packages_wanted = ("curl",)
            @hookimpl
            def packages(self, ctx):
                yield Step(id="10-more", action=Packages(names=("vim",)))
        """,
    )
    prepared = shelf.prepare("toy", "web", "more", packages=("zsh",))
    assert prepared.plan.packages == ("curl", "nginx", "vim", "zsh")
    assert prepared.wanted["curl"] == ("web", "more")
    assert prepared.wanted["zsh"] == ("-p",)
    steps = prepared.plan.of(Phase.PACKAGES)
    assert [step.step.id for step in steps] == ["10-resolve", "20-install"]
    assert all(step.step.action == Packages(names=("curl", "nginx", "vim", "zsh")) for step in steps)
    assert prepared.plan.package_manager == "toy"


def test_a_skipped_packages_step_brings_no_packages(shelf):
    shelf.pack("toy-os", {"toy": "System"}, MANAGER)
    shelf.pack(
        "more",
        {"more": "More"},
        """
        class More(Flavour):
            @hookimpl
            def packages(self, ctx):
                yield Step(id="10-more", action=Packages(names=("vim",)))
        """,
    )
    assert shelf.prepare("toy", "more", skips=("more:packages/10-more",)).plan.packages == ()


def test_the_release_is_the_systems_default_unless_it_is_given(shelf):
    shelf.pack("toy-os", {"toy": "System"}, MANAGER)
    assert shelf.prepare("toy").plan.steps[0].step.action == Command(argv=("make-root", "one"))
    assert shelf.prepare("toy", release="two").environment["RELEASE"] == "two"


def test_a_skip_takes_out_one_step_and_shows_in_the_plan(shelf):
    shelf.system()
    shelf.flavour("web", **{"install.d/10-a": SCRIPT, "install.d/20-b": SCRIPT})
    prepared = shelf.prepare("web", skips=("web:install/10-a",))
    assert names(prepared)[1:] == ["web:install/20-b"]
    assert plan_document(prepared)["skipped"] == ["web:install/10-a"]
    # its file stays beside the others, so that a skip changes no key but those behind it
    assert "install.d/10-a" in [entry.path for entry in merged_hooks(prepared.plan, "web").entries]


def test_a_skip_may_end_a_quarrel_about_an_id(shelf):
    shelf.system()
    shelf.flavour("one", **{"install.d/10-a": SCRIPT})
    shelf.flavour("two", **{"install.d/10-a": SCRIPT})
    assert names(shelf.prepare("one", "two", skips=("one:install/10-a",)))[1:] == ["two:install/10-a"]


def test_an_override_shows_in_the_plan(shelf):
    shelf.system()
    shelf.flavour("web")
    mine = shelf.write(shelf.root / "mine/web/install.d/10-mine", SCRIPT).parent.parent
    prepared = shelf.prepare("web", overrides=(("web", mine),))
    assert names(prepared)[1:] == ["web:install/10-mine"]
    assert plan_document(prepared)["overridden"] == [{"flavour": "web", "place": str(mine)}]


def test_static_is_a_step_of_install_and_two_flavours_may_have_it(shelf):
    shelf.system()
    shelf.flavour("one", **{"static/etc/one": "1"})
    shelf.flavour("two_b", **{"static/etc/two": "2"})
    prepared = shelf.prepare("one", "two_b")
    assert names(prepared)[1:] == ["one:install/00-static-one", "two_b:install/00-static-two-b"]
    action = prepared.plan.steps[1].step.action
    assert isinstance(action, Put)
    assert [entry.path for entry in action.tree.entries] == ["etc", "etc/one"]


def test_a_python_flavour_with_a_folder_gives_the_steps_of_both(shelf):
    shelf.system()
    tree = shelf.pack(
        "both",
        {"both": "Both"},
        """
        from pathlib import Path
        class Both(Flavour):
            folder = Path(__file__).parent / "data"
            requires = ("ssh",)
            @hookimpl
            def install(self, ctx):
                yield Step(id="10-python", action=Command(argv=("true",)))
        """,
    )
    shelf.flavour("ssh")
    shelf.flavour("lib")
    shelf.write(tree / "data/install.d/20-script", SCRIPT)
    shelf.write(tree / "data/flavour.toml", 'summary = "both"\nrequires = ["lib"]\n')
    prepared = shelf.prepare("both")
    assert names(prepared)[1:] == ["both:install/10-python", "both:install/20-script"]
    assert prepared.plan.flavour("both").requires == ("ssh", "lib")
    assert prepared.plan.flavour("both").summary == "both"
    assert str(prepared.plan.steps[1].origin) == "both (both 1.0)"


def test_every_flavour_is_asked_with_its_own_values(shelf):
    shelf.system()
    for name in ("one", "two"):
        shelf.pack(
            name,
            {name: "Own"},
            f"""
            class Own(Flavour):
                parameters = (Parameter(name="word", default="{name}"),)
                @hookimpl
                def install(self, ctx):
                    yield Step(id="10-{name}", action=Command(argv=(ctx.parameters["word"],)))
            """,
        )
    prepared = shelf.prepare("one", "two", settings=(("two", "word", "given"),))
    assert [step.step.action.argv for step in prepared.plan.of(Phase.INSTALL)] == [("one",), ("given",)]


def test_scripts_get_the_variables_of_the_contract_and_their_own_parameters(shelf):
    shelf.system()
    shelf.flavour(
        "web",
        """
        [parameters.port]
        type = "integer"
        default = 80
        [parameters.use-tls]
        type = "boolean"
        default = true
        [parameters.name]
        """,
        **{"install.d/10-web": SCRIPT, "extra-data.d/10-mine": SCRIPT, "first-boot.d/10-boot": SCRIPT},
    )
    prepared = shelf.prepare("web", release="r1")
    by_phase = {step.phase: step for step in prepared.plan.steps}
    inside = environment_for(prepared, by_phase[Phase.INSTALL], {"HOME": "/home/me", "MY_TOKEN": "x"})
    assert inside == {
        "ARCH": "amd64",
        "RELEASE": "r1",
        "IMAGE_NAME": "image",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "USER": "root",
        "LOGNAME": "root",
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
        "WEB_PORT": "80",
        "WEB_USE_TLS": "true",
        "WEB_NAME": "",
        "PORT": "80",
        "USE_TLS": "true",
        "NAME": "",
    }
    host = environment_for(prepared, by_phase[Phase.EXTRA_DATA], {"HOME": "/home/me", "MY_TOKEN": "x"})
    assert host["HOME"] == "/home/me"
    assert "MY_TOKEN" not in host
    assert "DEBIAN_FRONTEND" not in host
    root = environment_for(prepared, by_phase[Phase.ROOT])
    assert "PORT" not in root


def test_a_step_sees_the_files_of_its_own_flavour_and_of_those_it_requires(shelf):
    shelf.system(**{"install.d/10-system": SCRIPT})
    shelf.flavour("lib", **{"install.d/common": "x", "install.d/10-lib": SCRIPT})
    shelf.flavour("web", 'requires = ["lib"]', **{"install.d/20-web": SCRIPT, "install.d/conf/a": "y"})
    plan = shelf.prepare("web").plan
    assert [entry.path for entry in merged_hooks(plan, "web").entries] == [
        "install.d",
        "install.d/10-lib",
        "install.d/20-web",
        "install.d/common",
        "install.d/conf",
        "install.d/conf/a",
    ]
    assert [entry.path for entry in merged_hooks(plan, "lib").entries] == [
        "install.d",
        "install.d/10-lib",
        "install.d/common",
    ]
    assert merged_hooks(plan, "imagewright").entries == ()


def test_facts_are_named_from_the_step_on_that_consumes_them(shelf):
    shelf.pack("toy-os", {"toy": "System"}, MANAGER)
    shelf.flavour("web", **{"pre-install.d/10-a": SCRIPT, "extra-data.d/10-x": SCRIPT, "cleanup.d/90-z": SCRIPT})
    facts = {step.name: step.facts for step in shelf.prepare("toy", "web").plan.steps}
    assert facts == {
        "extra-data/10-x": (),
        "root/10-root": (),
        "pre-install/10-a": (EXTRA_DATA,),
        "packages/10-resolve": (EXTRA_DATA,),
        "packages/20-install": (EXTRA_DATA, PACKAGE_VERSIONS),
        "cleanup/90-z": (EXTRA_DATA, PACKAGE_VERSIONS),
    }


def test_the_core_may_add_steps_of_its_own(shelf):
    shelf.system(**{"finalise.d/50-os": SCRIPT})
    step = Step(id="95-name", action=Command(argv=("true",)))
    from imagewright.planning import prepare

    prepared = prepare(shelf.request("system"), core_steps=((Phase.FINALISE, step),))
    assert names(prepared)[1:] == ["system:finalise/50-os", "imagewright:finalise/95-name"]


def test_the_document_says_for_every_step_who_gave_it_and_survives_json(shelf):
    shelf.pack("toy-os", {"toy": "System"}, MANAGER, version="3.1")
    shelf.flavour("web", **{"install.d/10-web": SCRIPT})
    document = json.loads(json.dumps(plan_document(shelf.prepare("toy", "web"))))
    assert document["schema"] == 1
    first = document["steps"][0]
    assert {name: first[name] for name in ("phase", "id", "flavour", "distribution", "version", "action")} == {
        "phase": "root",
        "id": "10-root",
        "flavour": "toy",
        "distribution": "toy-os",
        "version": "3.1",
        "action": "command: make-root one",
    }
    assert document["steps"][1]["distribution"] == "imagewright"
    assert document["steps"][1]["version"]
    assert document["steps"][-1]["depends_on"] == [PACKAGE_VERSIONS]
    assert document["facts"] == {PACKAGE_VERSIONS: ["packages/10-resolve"]}
    assert document["flavours"][1]["place"] == str(shelf.folder / "web")


def test_several_block_device_scripts_chain(shelf):
    shelf.system()
    shelf.flavour("one", **{"block-device.d/10-a": SCRIPT})
    shelf.flavour("two", **{"block-device.d/20-b": SCRIPT})
    steps = shelf.prepare("one", "two").plan.of(Phase.BLOCK_DEVICE)
    assert [step.step.id for step in steps] == ["10-a", "20-b"]
    assert all(isinstance(step.step.action, Script) for step in steps)


def test_the_name_of_the_image_has_no_suffix_of_a_type(shelf):
    from pathlib import Path

    from imagewright.planning.preparing import image_name
    from imagewright.request import Request

    for given in ("demo", "demo.qcow2", "demo.raw", "folder/demo.tar"):
        assert image_name(Request(flavours=(), output=Path(given))) == "demo"
    assert image_name(Request(flavours=(), output=Path("web-1.2"))) == "web-1.2"
