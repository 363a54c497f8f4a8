from __future__ import annotations

import sys

import pytest
from imagewright.entrypoints import survey
from imagewright.errors import ContractError
from imagewright.glancing import Glance, glance


def look(shelf, name):
    (found,) = survey(shelf.paths).named(name)
    return glance(found)


def test_a_directory_flavour_is_read(shelf):
    shelf.system(**{"install.d/10-a": "#!/bin/sh", "static/etc/x": "1", "init": "true\n", "cleanup.d/data": "x"})
    assert look(shelf, "system") == Glance(operating_system=True, phases=("root", "install", "init"))


def test_a_python_flavour_is_parsed_and_nothing_of_it_runs(shelf):
    tree = shelf.pack(
        "own",
        {"own": "Own"},
        """
        from pathlib import Path
        HERE = Path(__file__).resolve().parent
        class Common(Flavour):
            summary = "common"
            @hookimpl
            def finalise(self, ctx): return ()
        class Own(Common):
            summary = "its own"
            provides = (OPERATING_SYSTEM, "more")
            packages_wanted: tuple[str, ...] = ("vim",)
            folder = HERE / "data"
            @hookimpl
            def root(self, ctx): return ()
            def helper(self): pass
        raise RuntimeError("this code must not run")
        """,
    )
    shelf.write(tree / "data/first-boot.d/10-a", "#!/bin/sh")
    assert look(shelf, "own") == Glance(
        summary="its own", operating_system=True, phases=("root", "packages", "finalise", "first-boot")
    )
    assert "own" not in sys.modules
    assert str(tree) not in sys.path


def test_a_class_that_a_package_imports_is_followed(shelf):
    tree = shelf.pack("outer", {"inner": "outer_package:Inner"})
    shelf.write(tree / "outer_package/__init__.py", "from .parts.inner import Real as Inner\n")
    shelf.write(tree / "outer_package/parts/__init__.py", "")
    shelf.write(
        tree / "outer_package/parts/inner.py",
        "from imagewright import api\nfrom ..base import Base\n"
        "class Real(Base):\n    @api.hookimpl\n    def install(self, ctx): return ()\n",
    )
    shelf.write(
        tree / "outer_package/base.py",
        "from imagewright import api\nclass Base(api.Flavour):\n    summary = 'base'\n",
    )
    assert look(shelf, "inner") == Glance(summary="base", phases=("install",))


def test_a_class_that_only_running_would_show_is_not_complete(shelf):
    shelf.pack("made", {"made": "Made"}, "Made = type('Made', (Flavour,), {})")
    assert look(shelf, "made") == Glance(complete=False)


@pytest.mark.parametrize(
    ("value", "source", "cause"),
    [
        ("Own", "def (", "SyntaxError: "),
        ("no_such_module_here:Own", "", "there is no module no_such_module_here"),
    ],
)
def test_what_cannot_load_is_said_without_loading(shelf, value, source, cause):
    shelf.pack("own", {"own": value}, source)
    with pytest.raises(ContractError) as caught:
        look(shelf, "own")
    assert caught.value.message == "flavour `own` does not load"
    assert caught.value.cause.startswith(cause)
    assert "distribution: own 1.0" in caught.value.where
