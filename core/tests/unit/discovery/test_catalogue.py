from __future__ import annotations

import sys

import pytest
from imagewright.discovery import catalogue, choose, load, load_output, outputs
from imagewright.entrypoints import survey
from imagewright.errors import ContractError, UsageError

POISON = 'raise RuntimeError("this code must not run")\n'


def ours(shelf, **options):
    return [found for found in catalogue(shelf.paths, **options) if found.place.startswith(str(shelf.root))]


def test_folders_and_trees_are_found_sorted_with_distribution_and_version(shelf):
    shelf.flavour("web", **{"install.d/10-a": "#!/bin/sh"})
    shelf.flavour("alone")
    tree = shelf.pack("vendor-pack", {"mellanox": "Mellanox", "infiniband": "Mellanox"}, version="1.2")
    assert [(found.name, found.kind, found.distribution, found.version, found.place) for found in ours(shelf)] == [
        ("alone", "folder", "", "", str(shelf.folder / "alone")),
        ("infiniband", "python", "vendor-pack", "1.2", str(tree)),
        ("mellanox", "python", "vendor-pack", "1.2", str(tree)),
        ("web", "folder", "", "", str(shelf.folder / "web")),
    ]


def test_nothing_is_loaded_and_no_path_is_touched_until_a_flavour_is_named(shelf):
    tree = shelf.pack("poisoned", {"poisoned": "Any"}, POISON)
    shelf.system()
    assert [found.name for found in ours(shelf)] == ["poisoned", "system"]
    shelf.prepare("system")
    assert "poisoned" not in sys.modules
    assert str(tree) not in sys.path


def test_the_path_is_extended_when_a_flavour_of_the_tree_is_loaded(shelf):
    tree = shelf.pack("calm", {"calm": "Calm"}, "class Calm(Flavour): pass")
    load(choose("calm", survey(shelf.paths)))
    assert str(tree) in sys.path
    # found through both doors now, and still one
    assert [found.name for found in ours(shelf)] == ["calm"]


def test_a_distribution_that_arrives_later_is_seen(shelf):
    assert ours(shelf) == []
    shelf.pack("later", {"later": "Later"})
    assert [found.name for found in ours(shelf)] == ["later"]


def test_a_folder_may_hold_flavours_and_be_a_tree_at_once(shelf):
    tree = shelf.pack("pack", {"python": "Python"})
    shelf.write(tree / "scripts/install.d/10-a", "#!/bin/sh")
    shelf.write(tree / "package/__init__.py", "")
    shelf.write(tree / "package/files/x", "")
    shelf.write(tree / "plain/data.txt", "")
    assert [found.name for found in ours(shelf)] == ["python", "scripts"]


def test_a_name_found_twice_is_an_error_that_names_both_places_once_it_is_needed(shelf):
    folder = shelf.flavour("web")
    tree = shelf.pack("web-pack", {"web": "Web"}, "class Web(Flavour): pass", version="2")
    shelf.system()
    shelf.prepare("system")
    with pytest.raises(ContractError) as caught:
        shelf.prepare("web")
    assert str(caught.value) == (
        "two flavours are called `web`\n"
        f"  the folder in {folder}\n"
        f"  web-pack 2 in {tree}\n"
        f"hint: choose one: --override web={folder}"
    )


@pytest.mark.parametrize("choice", ["folder", "above", "tree"])
def test_an_override_chooses_by_either_place(shelf, choice):
    folder = shelf.flavour("web")
    tree = shelf.pack("web-pack", {"web": "Web"}, "class Web(Flavour): pass")
    place = {"folder": folder, "above": shelf.folder, "tree": tree}[choice]
    (found,) = ours(shelf, overrides=(("web", place),))
    assert found.overridden
    assert found.place == str(tree if choice == "tree" else folder)
    load(found)


def test_two_versions_of_one_distribution_quarrel_too(shelf):
    shelf.pack("web-pack", {"web": "Web"}, version="1")
    shelf.pack("web-pack", {"web": "Web"}, version="2")
    with pytest.raises(ContractError, match="two flavours are called `web`"):
        choose("web", survey(shelf.paths))


def test_a_distribution_with_damaged_metadata_stops_nobody_and_is_mentioned(shelf):
    tree = shelf.pack("damaged", {"damaged": "Any"})
    (tree / "damaged-1.0.dist-info/entry_points.txt").write_text("[imagewright.flavours]\nno equals sign\n")
    shelf.system()
    shelf.prepare("system")
    from imagewright.errors import PlanError

    with pytest.raises(PlanError, match="a distribution in .* could not be read") as caught:
        shelf.prepare("damaged")
    assert str(tree) in str(caught.value)


def test_the_environments_own_outputs_are_found():
    assert {"qcow2", "raw", "tar"} <= set(outputs())


def test_an_unknown_output_names_the_nearest():
    with pytest.raises(UsageError) as caught:
        load_output("qcow")
    assert str(caught.value) == "there is no output type `qcow`\nhint: did you mean `qcow2`?"


def test_an_output_of_a_pack_is_loaded_and_checked(shelf, monkeypatch):
    source = """
    class Vmdk:
        suffix = ".vmdk"
        needs = "raw"
        tools = ()
        def write(self, image, destination):
            destination.write_bytes(b"x")
    class Half:
        suffix = ".half"
    """
    tree = shelf.pack("formats", {"vmdk": "Vmdk", "half": "Half"}, source, group="imagewright.outputs")
    monkeypatch.syspath_prepend(str(tree))
    assert load_output("vmdk").suffix == ".vmdk"
    with pytest.raises(ContractError) as caught:
        load_output("half")
    assert caught.value.message == "the output type `half` breaks the contract"
    assert caught.value.cause == "it lacks needs, tools, write"
    assert "distribution: formats 1.0" in caught.value.where
