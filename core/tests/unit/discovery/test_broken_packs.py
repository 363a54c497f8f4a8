"""Packs with one fault each: reported with distribution, version and cause, and no trouble to other builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.asking import Panel
from imagewright.discovery import choose, load
from imagewright.entrypoints import survey
from imagewright.errors import ContractError

PACKS = Path(__file__).parents[4] / "tests/packs"


def failure(shelf, name):
    with pytest.raises(ContractError) as caught:
        shelf.prepare(name)
    return str(caught.value).replace(str(shelf.root), "ROOT")


def where(pack):
    name = f"imagewright-test-{pack}"
    return f"  flavour: {pack}\n  distribution: {name} 0.3\n  place: ROOT/tree-{name}-0.3-1"


@pytest.mark.parametrize(
    ("pack", "text"),
    [
        (
            "broken-import",
            "flavour `broken-import` does not load\n"
            + where("broken-import")
            + "\ncause: ModuleNotFoundError: No module named 'imagewright_no_such_module'\n"
            "hint: install what brings the module `imagewright_no_such_module`, or: "
            "pip install --force-reinstall imagewright-test-broken-import",
        ),
        (
            "wrong-api",
            "flavour `wrong-api` is written for version 2 of the contract, and this is version 1\n"
            + where("wrong-api")
            + "\nhint: pip install --upgrade imagewright-test-wrong-api imagewright",
        ),
        (
            "bad-signature",
            "the hook `install` of flavour `bad-signature` has a wrong signature\n"
            + where("bad-signature")
            + "\ncause: it is install(ctx, folder)\n"
            "hint: def install(self, ctx): every hook takes exactly `self` and `ctx`",
        ),
        (
            "missing-hookimpl",
            "flavour `missing-hookimpl` does not load\n"
            + where("missing-hookimpl")
            + "\ncause: TypeError: Faulty.install is a hook and lacks @hookimpl",
        ),
    ],
)
def test_a_broken_pack_is_named_with_its_cause(shelf, pack, text):
    shelf.system()
    shelf.project(PACKS / pack)
    assert failure(shelf, pack) == text


def test_a_second_flavour_of_a_name_quarrels_with_the_first(shelf):
    shelf.system()
    shelf.flavour("base")
    shelf.project(PACKS / "duplicate-name")
    assert "imagewright-test-duplicate-name 0.3 in ROOT/tree" in failure(shelf, "base")


def test_all_broken_packs_together_do_not_stop_a_build_that_uses_none(shelf):
    shelf.system()
    packs = sorted(PACKS.iterdir())
    assert len(packs) >= 5
    for pack in packs:
        shelf.project(pack)
    assert shelf.prepare("system").context.flavours == ("system",)


@pytest.mark.parametrize(
    ("source", "message", "cause"),
    [
        ("Own = 3", "the entry point of flavour `own` names no subclass of imagewright.api.Flavour", "is 3"),
        ("class Own(Flavour): pass\nOwn = Own()", "the entry point of flavour `own` names an instance", ""),
        ("raise SystemExit(3)", "flavour `own` does not load", "SystemExit: 3"),
        ("assert False", "flavour `own` does not load", "AssertionError"),
        ("", "flavour `own` does not load", "AttributeError"),
        (
            "class Own(Flavour):\n    @hookimpl\n    def instal(self, ctx): pass",
            "flavour `own` does not load",
            "Own.instal has @hookimpl and is no hook; did you mean install?",
        ),
        ("class Own(Flavour):\n    def __init__(self): 1 / 0", "flavour `own` could not be made", "ZeroDivisionError"),
        ('class Own(Flavour): requires = "ssh"', "`Own.requires` of flavour `own` must be a tuple of names", "'ssh'"),
        ("class Own(Flavour): parameters = ('x',)", "`Own.parameters` of flavour `own` must be a tuple", "('x',)"),
        (
            "class Own(Flavour): parameters = (Parameter(name='path'),)",
            "the parameter `path` of flavour `own` is wrong: its variable PATH is reserved",
            "",
        ),
        (
            "class Own(Flavour): parameters = (Parameter(name='ld-preload'),)",
            "the parameter `ld-preload` of flavour `own` is wrong: its variable LD_PRELOAD is reserved",
            "",
        ),
        (
            "class Own(Flavour): parameters = (Parameter(name='n', type='integer', default='1'),)",
            "the parameter `n` of flavour `own` is wrong: its default '1' is not of type integer",
            "",
        ),
        (
            "class Own(Flavour): parameters = (Parameter(name='n', secret=True, default='1'),)",
            "the parameter `n` of flavour `own` is wrong: a secret has no default",
            "",
        ),
        (
            "from pathlib import Path\nclass Own(Flavour): folder = Path('/no/such/folder')",
            "the folder `/no/such/folder` of `own` does not exist",
            "",
        ),
    ],
)
def test_a_flavour_that_cannot_be_used_is_named_with_its_cause(shelf, source, message, cause):
    shelf.pack("own", {"own": "Own"}, source, version="7")
    with pytest.raises(ContractError) as caught:
        load(choose("own", survey(shelf.paths)))
    assert caught.value.message.startswith(message)
    assert cause in caught.value.cause
    assert caught.value.where[:2] == ("flavour: own", "distribution: own 7")


@pytest.mark.parametrize("option", ["tryfirst", "trylast", "wrapper", "hookwrapper"])
def test_options_of_pluggy_that_order_or_wrap_are_refused(shelf, option):
    body = "yield" if "wrapper" in option else "return ()"
    shelf.pack(
        "own", {"own": "Own"}, f"class Own(Flavour):\n    @hookimpl({option}=True)\n    def install(self, ctx): {body}"
    )
    loaded = load(choose("own", survey(shelf.paths)))
    with pytest.raises(ContractError) as caught:
        Panel([loaded])
    assert caught.value.message == f"the hook `install` of flavour `own` uses `{option}`, which flavours may not"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ('raise KeyError("x")', "KeyError: 'x'"),
        ('yield Step(id="10-a", action=Command(argv=("x",))); raise KeyError("x")', "KeyError: 'x'"),
        ('raise ImagewrightError("no-mirror", "there is no mirror")', "there is no mirror"),
    ],
)
def test_a_hook_that_raises_is_blamed_with_file_and_line(shelf, body, cause):
    shelf.system()
    tree = shelf.pack(
        "own", {"own": "Own"}, f"class Own(Flavour):\n    @hookimpl\n    def install(self, ctx):\n        {body}"
    )
    with pytest.raises(ContractError) as caught:
        shelf.prepare("own")
    assert caught.value.message == "the hook `install` of flavour `own` failed"
    assert caught.value.cause == f"{cause} ({tree}/own.py, line 5)"
    assert "distribution: own 1.0" in caught.value.where


@pytest.mark.parametrize("give", ["raise ValueError(token)", "yield None; raise ValueError(token)"])
def test_a_hook_that_raises_a_secret_shows_stars(shelf, give):
    shelf.system()
    source = f"""
        class Own(Flavour):
            parameters = (Parameter(name="token", secret=True, help="a token"),)
            @hookimpl
            def install(self, ctx):
                token = ctx.parameters["token"]
                {give.replace("None", 'Step(id="10-a", action=Command(argv=("x",)))')}
    """
    shelf.pack("own", {"own": "Own"}, source)
    with pytest.raises(ContractError) as caught:
        shelf.prepare("own", settings=(("own", "token", "s3cr3t"),))
    assert "ValueError: ***" in caught.value.cause
    assert "s3cr3t" not in str(caught.value)


def test_a_package_manager_that_lacks_a_part_is_named(shelf):
    shelf.pack(
        "own",
        {"own": "Own"},
        """
        class Own(Flavour):
            provides = (OPERATING_SYSTEM,)
            @hookimpl
            def package_manager(self, ctx): return object()
        """,
    )
    with pytest.raises(ContractError) as caught:
        shelf.prepare("own")
    assert caught.value.message == "the package manager of flavour `own` breaks the contract"
    assert caught.value.cause.startswith("object lacks name, build_files, ")
