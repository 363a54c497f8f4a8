from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.cli.imagesfile import ImageEntry, read_images
from imagewright.cli.options.resolve import Values, resolve
from imagewright.cli.options.sets import DISK_IMAGE, RAMDISK_IMAGE
from imagewright.errors import UsageError
from imagewright.types import GIB


def read(folder: Path, text: str) -> dict[str, ImageEntry]:
    path = folder / "images.toml"
    path.write_text(text)
    return {entry.name: entry for entry in read_images(path)}


def refused(folder: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(folder, text)
    assert str(folder / "images.toml") in caught.value.message
    return caught.value


def values(entry: ImageEntry, **environment: str) -> Values:
    settings = RAMDISK_IMAGE if entry.kind == "ramdisk" else DISK_IMAGE
    return resolve(settings, flags={}, environment=environment, tables=entry.tables)


def test_an_image_takes_what_all_of_them_share_and_its_own_is_stronger(tmp_path: Path) -> None:
    images = read(
        tmp_path,
        """
        [defaults]
        flavours = ["debian", "vm"]
        release = "trixie"
        type = ["raw", "tar"]
        [images.a]
        [images.b]
        flavours = ["ubuntu"]
        release = "noble"
        image-size = 2.5
        """,
    )
    assert images["a"].flavours == ("debian", "vm")
    assert (values(images["a"])["release"], values(images["a"])["type"]) == ("trixie", ("raw", "tar"))
    assert images["b"].flavours == ("ubuntu",)
    assert (values(images["b"])["release"], values(images["b"])["image-size"]) == ("noble", 5 * GIB // 2)


def test_the_file_is_stronger_than_the_environment_which_counts_for_what_it_leaves_open(tmp_path: Path) -> None:
    entry = read(tmp_path, '[images.a]\nflavours = ["x"]\nrelease = "trixie"\n')["a"]
    found = values(entry, RELEASE="bookworm", IMAGEWRIGHT_ROOT_LABEL="mine", IMAGE_NAME="elsewhere")
    assert (found["release"], found["root-label"]) == ("trixie", "mine")
    assert found["output"] == tmp_path / "a"


def test_parameters_of_an_image_are_added_to_the_shared_ones(tmp_path: Path) -> None:
    entry = read(
        tmp_path,
        """
        [defaults]
        flavours = ["x"]
        set.x = { one = 1, two = 2 }
        [images.a.set]
        x.two = "own"
        """,
    )["a"]
    assert sorted(values(entry)["set"]) == [("x", "one", "1"), ("x", "two", "own")]


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "flavours").mkdir()
    text = '[defaults]\noutput = "out/{name}"\nflavour-path = ["flavours", "/far"]\n[images.a]\nflavours = ["x"]\n'
    entry = read(folder, text)["a"]
    assert values(entry)["output"] == folder / "out" / "a"
    assert values(entry)["flavour-path"] == (folder / "flavours", Path("/far"))


def test_a_matrix_makes_an_image_of_each_combination(tmp_path: Path) -> None:
    images = read(
        tmp_path,
        """
        [defaults]
        output = "{release}/{name}"
        [images."node-{release}-{size}-{mode}"]
        flavours = ["debian", "node-{mode}"]
        image-size = "{size}"
        kernel-args = "mode={mode} other={kept}"
        matrix = { release = ["bookworm", "trixie"], size = [4, 8], mode = ["fast"] }
        """,
    )
    assert list(images) == [
        "node-bookworm-4-fast",
        "node-bookworm-8-fast",
        "node-trixie-4-fast",
        "node-trixie-8-fast",
    ]
    found = values(images["node-trixie-8-fast"])
    assert (found["release"], found["image-size"]) == ("trixie", 8 * GIB)
    assert found["output"] == tmp_path / "trixie" / "node-trixie-8-fast"
    assert found["kernel-args"] == "mode=fast other={kept}"
    assert images["node-trixie-8-fast"].flavours == ("debian", "node-fast")


def test_a_matrix_may_hold_lists_of_flavours(tmp_path: Path) -> None:
    images = read(tmp_path, '[images."{flavours}"]\nmatrix.flavours = [["debian", "vm"], ["debian"]]\n')
    assert {name: entry.flavours for name, entry in images.items()} == {
        "debian-vm": ("debian", "vm"),
        "debian": ("debian",),
    }


def test_a_ramdisk_has_the_options_of_ramdisks(tmp_path: Path) -> None:
    images = read(
        tmp_path,
        """
        [defaults]
        compress = "xz"
        type = ["raw"]
        [images.r]
        kind = "ramdisk"
        flavours = ["deploy"]
        [images.d]
        flavours = ["debian"]
        """,
    )
    assert values(images["r"])["compress"] == "xz"
    assert values(images["d"])["type"] == ("raw",)


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("", "", "names no image"),
        ("[defaults]\n", "", "names no image"),
        ("release = 'a'\n", "release", "neither `[defaults]` nor `[images.NAME]`"),
        ("[[images]]\nflavours=['x']\n", "", "names no image"),
        ("[images]\na = 1\n", "images.a", "must be a table"),
        ("[images.a]\n", "flavours", "is missing"),
        ("[images.a]\nflavours = 'x y'\n", "flavours", "must be a list"),
        ("[images.a]\nflavours = ['x']\nrelase = 'y'\n", "relase", "is no option"),
        ("[images.a]\nflavours = ['x']\nplan = true\n", "plan", "is of the run as a whole"),
        ("[images.a]\nflavours = ['x']\nshell-on-failure = true\n", "shell-on-failure", "is for one image alone"),
        ("[images.a]\nflavours = ['x']\ncompress = 'xz'\n", "compress", "is an option of the kind ramdisk"),
        ("[images.a]\nkind = 'iso'\nflavours = ['x']\n", "kind", 'is "disk" or "ramdisk"'),
        ("[defaults]\nmatrix.size = [1]\n[images.a]\nflavours = ['x']\n", "matrix", "is no option"),
        ("[images.a]\nflavours = ['x']\nmatrix.size = 1\n", "matrix.size", "must be a list of values"),
        ("[images.a]\nflavours = ['x']\nmatrix.size = []\n", "matrix.size", "must be a list of values"),
        ("[images.a]\nflavours = ['x']\nmatrix.size = [1, 2]\n", "matrix", "makes two images that are called `a`"),
        ("[images.a]\nflavours = ['x']\nmatrix.type = [{ a = 1 }]\n", "matrix.type", "must hold texts"),
        ("[images.a]\nflavours = ['x']\nmatrix.json = [true]\n", "matrix.json", "cannot differ between images"),
        ("[images.a]\nflavours = ['x']\nmatrix.name = ['b']\n", "matrix.name", "or is `name`"),
        ("[images.a]\nflavours = ['x']\nrelease = 'y'\nmatrix.release = ['z']\n", "release", "is set twice"),
        ("[images.'a-{b}']\nflavours = ['x']\n", "images", "has `{b}` in its name"),
        ("[images.'a b']\nflavours = ['x']\n", "images", "gives the name `a b`"),
        ("[images.a]\nflavours = ['x']\noutput = '{nmae}'\n", "output", "has `{nmae}`"),
    ],
)
def test_what_is_wrong_is_refused_with_the_file_and_the_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    error = refused(tmp_path, text)
    assert problem in error.message
    assert key in error.message


def test_a_near_name_is_offered_for_a_misspelt_one(tmp_path: Path) -> None:
    assert refused(tmp_path, "[images.a]\nflavours = ['x']\nimage-siz = 1\n").hint == "did you mean `image-size`?"


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    assert "line 1" in refused(tmp_path, "[images.a\n").cause
    with pytest.raises(UsageError, match="there is no file"):
        read_images(tmp_path / "none.toml")


def test_a_bad_value_names_the_table_that_it_stands_in(tmp_path: Path) -> None:
    entry = read(tmp_path, "[images.a]\nflavours = ['x']\nimage-size = 'big'\n")["a"]
    with pytest.raises(UsageError, match=r"`image-size` in `\[images\.a\]` of `.*images\.toml`"):
        values(entry)
