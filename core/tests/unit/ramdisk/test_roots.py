"""A folder as the root of a filesystem: no link leads out of it."""

from __future__ import annotations

from pathlib import Path

from imagewright.ramdisk.roots import Root


def test_absolute_links_and_dots_stay_in_the_root(tmp_path: Path) -> None:
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "usr" / "bin" / "tool").write_text("a tool\n")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "up").symlink_to("../../../../../usr/bin/tool")
    (tmp_path / "absolute").symlink_to("/bin/tool")
    (tmp_path / "password").symlink_to("/etc/passwd")
    root = Root(str(tmp_path), "tree")
    for path in ("/bin/tool", "up", "absolute", "bin/../bin/./tool"):
        found = root.find(path)
        assert found is not None
        assert (found.path, found.is_file) == ("usr/bin/tool", True)
    assert root.find("password") is None
    assert root.text("/absolute") == "a tool\n"
    assert root.find("../..") == root.find("/")
    absolute = root.find("absolute")
    assert absolute is not None
    assert absolute.links == (("absolute", "/bin/tool", "bin/tool"), ("bin", "usr/bin", "usr/bin"))


def test_circles_and_files_in_place_of_folders_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "file").write_text("")
    root = Root(str(tmp_path), "tree")
    assert root.find("a") is None
    assert root.find("file/below") is None
    assert root.names("file") == ()
    assert root.text("a") == ""


def test_a_link_to_the_top_is_the_top(tmp_path: Path) -> None:
    (tmp_path / "top").symlink_to("/")
    found = Root(str(tmp_path), "tree").find("top")
    assert found is not None
    assert (found.path, found.is_folder) == ("", True)
