"""Every mistake in what was asked for, with its whole message."""

from __future__ import annotations

import pytest
from imagewright.errors import ContractError, PlanError, UsageError

SCRIPT = "#!/bin/sh\n"


def message(shelf, kind, *flavours, **options):
    with pytest.raises(kind) as caught:
        shelf.prepare(*flavours, **options)
    assert type(caught.value) is kind
    return str(caught.value).replace(str(shelf.root), "ROOT")


def test_an_unknown_flavour_with_the_nearest_names(shelf):
    shelf.system()
    shelf.flavour("mellanox")
    assert message(shelf, PlanError, "melanox") == ("there is no flavour `melanox`\nhint: did you mean `mellanox`?")


def test_an_unknown_flavour_like_no_other_lists_what_there_is(shelf):
    shelf.system()
    text = message(shelf, PlanError, "zzzzz")
    assert text.startswith("there is no flavour `zzzzz`\nhint: installed: ")
    assert "system" in text


def test_a_folder_of_that_name_without_anything_of_a_flavour_is_pointed_at(shelf):
    shelf.system()
    (shelf.folder / "zzzzz").mkdir()
    assert (
        "the folder ROOT/flavours/zzzzz has no phase folder and none of flavour.toml, binary-deps, init, modules"
    ) in message(shelf, PlanError, "zzzzz")


def test_an_impossible_name(shelf):
    assert message(shelf, PlanError, "my.flavour") == (
        "`my.flavour` is not a name of a flavour\n"
        "cause: a name consists of lower-case letters, digits, and single dashes or underscores between them\n"
        "hint: imagewright flavours list"
    )


def test_no_operating_system_says_how_to_name_one(shelf):
    shelf.flavour("debian", 'provides = ["operating-system"]')
    shelf.flavour("vm")
    text = message(shelf, PlanError, "vm", default_operating_system="no-such-system")
    assert text.startswith(
        "no operating system is named, and the default one, `no-such-system`, is not installed\n"
        "cause: installed flavours: "
    )
    assert text.endswith("hint: name an installed one, such as `debian`: disk-image-create -o image debian vm")


def test_a_default_that_is_no_operating_system(shelf):
    shelf.flavour("system")
    assert message(shelf, PlanError, "system").startswith(
        "the default operating system `system` is no operating system"
    )


def test_two_operating_systems(shelf):
    shelf.system("one")
    shelf.system("two")
    shelf.flavour("web", 'requires = ["two"]')
    assert message(shelf, PlanError, "one", "web") == (
        "more than one operating system: `one` and `two`\n"
        "  one (ROOT/flavours/one)\n"
        "  two (ROOT/flavours/two), required by web\n"
        "cause: an image has exactly one root tree\n"
        "hint: leave out `one` or `two`"
    )


def test_a_conflict_names_both(shelf):
    shelf.system()
    shelf.flavour("apache", 'provides = ["web-server"]')
    shelf.flavour("nginx", 'conflicts = ["web-server"]\nprovides = ["web-server"]')
    assert message(shelf, PlanError, "apache", "nginx") == (
        "flavour `nginx` conflicts with `apache`, which provides `web-server`\n"
        "  nginx (ROOT/flavours/nginx)\n"
        "  apache (ROOT/flavours/apache)\n"
        "hint: leave out `nginx` or `apache`"
    )


def test_a_circle_of_requirements_shows_its_path(shelf):
    shelf.system()
    shelf.flavour("a", 'requires = ["b"]')
    shelf.flavour("b", 'requires = ["c"]')
    shelf.flavour("c", 'requires = ["a"]')
    text = message(shelf, PlanError, "a")
    first, _, rest = text.partition(": ")
    assert first == "flavours require each other in a circle"
    assert rest.splitlines()[0] in {"a → b → c → a", "b → c → a → b", "c → a → b → c"}


def test_a_flavour_that_requires_itself(shelf):
    shelf.system()
    shelf.flavour("a", 'requires = ["a"]')
    assert message(shelf, PlanError, "a").startswith("flavours require each other in a circle: a → a")


def test_a_requirement_that_is_nowhere(shelf):
    shelf.system()
    shelf.flavour("web", 'requires = ["sssh"]')
    shelf.flavour("ssh")
    assert message(shelf, PlanError, "web") == (
        "flavour `web` requires `sssh`, which is no flavour, and no chosen flavour provides it\n"
        "  required by: web (ROOT/flavours/web)\n"
        "hint: did its author mean `ssh`?"
    )


@pytest.mark.parametrize("other", ["cloud-init", "webb-server", "web"])
def test_a_name_that_is_merely_alike_or_the_flavours_own_is_no_proposal(shelf, other):
    shelf.system()
    shelf.flavour("web", 'requires = ["cloud-image"]' if other == "cloud-init" else 'requires = ["webb"]')
    if other != "web":
        shelf.flavour(other)
    assert "hint: name a flavour that provides" in message(shelf, PlanError, "web")


def test_the_same_step_id_from_two_flavours_names_both(shelf):
    shelf.system()
    shelf.flavour("one", **{"install.d/10-a": SCRIPT})
    shelf.flavour("two", **{"install.d/10-a": SCRIPT})
    assert message(shelf, PlanError, "one", "two") == (
        "flavours `one` and `two` both give the step `install/10-a`\n"
        "  one (ROOT/flavours/one)\n"
        "  two (ROOT/flavours/two)\n"
        "cause: the ids of all steps of a phase differ, because their files lie in one folder\n"
        "hint: --skip two:install/10-a"
    )


def test_a_skip_of_no_step_with_the_nearest(shelf):
    shelf.system()
    shelf.flavour("web", **{"install.d/10-web": SCRIPT})
    assert message(shelf, UsageError, "web", skips=("web:install/10-wbe",)) == (
        "`--skip web:install/10-wbe` names no step of this build\nhint: did you mean `web:install/10-web`?"
    )


def test_a_search_path_that_does_not_exist(shelf):
    shelf.paths.append(shelf.root / "absent")
    assert message(shelf, UsageError, "web") == (
        "`ROOT/absent` on the flavour search path does not exist\nhint: make the folder or take it off the path"
    )


def test_a_search_path_that_is_itself_a_flavour(shelf):
    shelf.paths = [shelf.flavour("web", **{"install.d/10-web": SCRIPT})]
    assert message(shelf, UsageError, "web") == (
        "`ROOT/flavours/web` on the flavour search path is itself a flavour\n"
        "cause: the path names folders that hold flavours as sub-folders\n"
        "hint: --flavour-path ROOT/flavours"
    )


def test_an_override_that_leads_nowhere(shelf):
    shelf.system()
    assert message(shelf, UsageError, "system", overrides=(("web", shelf.root / "absent"),)) == (
        "`--override web=ROOT/absent`: the folder does not exist\n"
        "cause: DIR is a flavour's own folder, or a folder of a search path that holds the flavour\n"
        "hint: --override web=DIR"
    )


def test_packages_without_a_package_manager_say_who_wants_them(shelf):
    shelf.system()
    shelf.flavour("web", 'packages = ["nginx"]')
    assert message(shelf, PlanError, "web", packages=("vim",)) == (
        "the operating system `system` has no package manager, and packages are wanted\n"
        "  nginx: wanted by web\n"
        "  vim: wanted by -p"
    )


@pytest.mark.parametrize("name", ["--root=/", "", "a b"])
def test_an_impossible_package_name(shelf, name):
    shelf.system()
    assert message(shelf, UsageError, "system", packages=(name,)) == f"`-p {name}`: that is no name of a package"


HEAD = "from imagewright.api import *\n"

LAYOUT = 'Layout(partitions=(Partition(name="root", type="0FC63DAF-8483-4772-8E79-3D69D8477DE4", role="root"),))'


def contribution(shelf, phase, value, name="own"):
    shelf.pack(
        name,
        {name: "Own"},
        f"""
        class Own(Flavour):
            @hookimpl
            def {phase}(self, ctx):
                return [{value}]
        """,
    )


def test_two_layouts_of_the_disk_name_both(shelf):
    shelf.system()
    contribution(shelf, "block_device", f'Step(id="10-disk", action={LAYOUT})')
    shelf.flavour("script", **{"block-device.d/20-mine": SCRIPT})
    assert message(shelf, PlanError, "own", "script") == (
        "flavours `own` and `script` both lay out the disk\n"
        "  block-device/10-disk of own (own 1.0)\n"
        "  block-device/20-mine of script (ROOT/flavours/script)\n"
        "hint: --skip own:block-device/10-disk or --skip script:block-device/20-mine"
    )


WHERE = "  flavour: own\n  distribution: own 1.0\n  place: ROOT/tree-own-1.0-1"


@pytest.mark.parametrize(
    ("phase", "value", "text"),
    [
        (
            "install",
            'Step(id="9-short", action=Command(argv=("true",)))',
            "the step `install/9-short` of flavour `own` has an id that is not NN-name\n"
            + WHERE
            + "\ncause: an id is two digits, a dash, lower-case letters, digits and dashes",
        ),
        (
            "install",
            'Step(id="10-a", action=Packages(names=("x",)))',
            "the step `install/10-a` of flavour `own` is a Packages; in the phase install it must be "
            "Script or Command or Put\n" + WHERE,
        ),
        (
            "first_boot",
            'Step(id="10-a", action=Command(argv=("x",)))',
            "the step `first-boot/10-a` of flavour `own` is a Command; in the phase first-boot it must be Script\n"
            + WHERE,
        ),
        (
            "root",
            'Step(id="10-a", action=Command(argv=("x",)))',
            "the step `root/10-a` of flavour `own` makes the root tree, and its flavour is no operating system\n"
            + WHERE
            + '\nhint: provides = ("operating-system",)',
        ),
        (
            "install",
            'Step(id="10-a", action=Script(content=b"echo"))',
            "the step `install/10-a` of flavour `own` has no `#!` line, so nothing can run it\n"
            + WHERE
            + "\nhint: begin it with #!/bin/sh",
        ),
        (
            "install",
            'Step(id="10-a", action=Command(argv="true"))',
            "the step `install/10-a` of flavour `own` is a command whose argv is not a tuple of strings\n" + WHERE,
        ),
        (
            "install",
            'Step(id="10-a", action=Put(tree=Tree((Entry(path="../etc/passwd"),))))',
            "the step `install/10-a` of flavour `own` has a file at `../etc/passwd`, which is not a plain relative "
            "path\n" + WHERE,
        ),
        (
            "cleanup",
            'Step(id="10-a", action=Call(function="os.system"))',
            "the step `cleanup/10-a` of flavour `own` calls `os.system`, which is not `module:function`\n" + WHERE,
        ),
        (
            "cleanup",
            'Step(id="10-a", action=Call(function="no_such_module:run"))',
            "the step `cleanup/10-a` of flavour `own` calls `no_such_module:run`, which cannot be found\n"
            + WHERE
            + "\ncause: there is no module no_such_module",
        ),
        (
            "block_device",
            'Step(id="10-a", action=Layout(partitions=()))',
            "the step `block-device/10-a` of flavour `own` has 0 partitions of role root; it must have one\n" + WHERE,
        ),
        (
            "packages",
            'Step(id="10-a", action=Packages(names=("-o",)))',
            "flavour `own` wants a package with an impossible name: '-o'\n" + WHERE,
        ),
        (
            "install",
            '"10-a"',
            "the hook `install` of flavour `own` must return values of Step\n" + WHERE + "\ncause: it gave str",
        ),
    ],
)
def test_a_step_that_breaks_the_contract(shelf, phase, value, text):
    shelf.system()
    contribution(shelf, phase, value)
    assert message(shelf, ContractError, "own") == text


def test_the_same_id_twice_within_a_flavour(shelf):
    shelf.system()
    step = 'Step(id="10-a", action=Command(argv=("x",)))'
    contribution(shelf, "install", f"{step}, {step}")
    assert message(shelf, PlanError, "own").startswith("flavour `own` gives the step `install/10-a` twice")


def test_a_flavour_that_brings_the_callers_data_is_refused_for_publishing(shelf):
    shelf.system()
    shelf.flavour("local-config", 'reads = ["~/.ssh"]')
    shelf.flavour("mine", 'provides = ["private"]')
    assert message(shelf, PlanError, "local-config", for_publishing=True) == (
        "flavour `local-config` brings data of yours into the image, and `--for-publishing` refuses that\n"
        "  local-config (ROOT/flavours/local-config)\n"
        "cause: it reads ~/.ssh\n"
        "hint: leave out `local-config` or `--for-publishing`"
    )
    assert message(shelf, PlanError, "mine", for_publishing=True).startswith("flavour `mine` brings data of yours")
    assert shelf.prepare("mine", "local-config").context.flavours == ("system", "mine", "local-config")
