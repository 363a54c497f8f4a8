from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagewright.errors import ContractError
from imagewright.folders import read_flavour_folder
from imagewright.types import BuildContext, Origin, Phase

SCRIPT = "#!/bin/sh\n"


@pytest.fixture
def web(shelf):
    return shelf.flavour("web", **{"install.d/10-web": SCRIPT})


def read(folder: Path):
    return read_flavour_folder(folder, Origin(flavour=folder.name, location=str(folder)))


def failure(folder: Path) -> str:
    with pytest.raises(ContractError) as caught:
        read(folder)
    return str(caught.value).replace(str(folder), "WEB")


WHERE = "  flavour: web\n  place: WEB\n"


def test_scripts_and_the_data_beside_them(shelf, web):
    shelf.write(web / "install.d/my.cnf", "x")
    shelf.write(web / "install.d/templates/10-nested", "y")
    shelf.write(web / "install.d/templates/helper", SCRIPT)
    phase = read(web).phases[Phase.INSTALL]
    ((name, script),) = phase.scripts
    assert name == "10-web"
    assert script.content == SCRIPT.encode()
    assert script.source == web / "install.d/10-web"
    assert [(entry.path, entry.kind, f"{entry.mode:o}") for entry in script.data.entries] == [
        ("my.cnf", "file", "644"),
        ("templates", "folder", "755"),
        ("templates/10-nested", "file", "644"),
        ("templates/helper", "file", "755"),
    ]


@pytest.mark.parametrize("name", ["binary-deps", "init", "modules"])
def test_a_folder_where_a_file_is_read_is_refused(web, name):
    (web / name).mkdir()
    assert failure(web).startswith(f"`{name}` of flavour `web` must be a file")


@pytest.mark.parametrize("name", ["files", "static", "udev", "finalise.d"])
def test_a_file_where_a_folder_is_read_is_refused(web, name):
    (web / name).write_text("x")
    assert failure(web).startswith(f"`{name}` of flavour `web` must be a folder")


def test_modes_do_not_show_the_callers_umask(web):
    before = read(web).hooks.digest
    (web / "install.d").chmod(0o700)
    (web / "install.d/10-web").chmod(0o700)
    assert read(web).hooks.digest == before
    (web / "install.d/10-web").chmod(0o777)
    assert read(web).hooks.digest == before


def test_the_hooks_hold_every_phase_folder(shelf, web):
    shelf.write(web / "post-install.d/data", "x")
    assert [entry.path for entry in read(web).hooks.entries] == [
        "install.d",
        "install.d/10-web",
        "post-install.d",
        "post-install.d/data",
    ]


def test_other_files_and_folders_are_left_alone(shelf, web):
    shelf.write(web / "README.md", "# web")
    shelf.write(web / "tests/test_web.py", "")
    shelf.write(web / "LICENSE", "")
    assert list(read(web).phases) == [Phase.INSTALL]


def test_static_keeps_links_and_phase_folders_follow_them(shelf, web):
    shelf.write(web / "static/etc/real", "x")
    (web / "static/etc/link").symlink_to("real")
    (web / "static/etc/dangling").symlink_to("/run/nowhere")
    shelf.write(shelf.root / "shared/data", "shared")
    (web / "install.d/data").symlink_to(shelf.root / "shared/data")
    contents = read(web)
    assert [(entry.path, entry.kind, entry.target) for entry in contents.static.entries] == [
        ("etc", "folder", ""),
        ("etc/dangling", "link", "/run/nowhere"),
        ("etc/link", "link", "real"),
        ("etc/real", "file", ""),
    ]
    (entry,) = contents.phases[Phase.INSTALL].data.entries
    assert (entry.kind, entry.content) == ("file", b"shared")


def test_a_large_file_is_not_held_in_memory(web):
    (web / "install.d/firmware").write_bytes(b"\0" * 2**20)
    (entry,) = read(web).phases[Phase.INSTALL].data.entries
    assert entry.content == b""
    assert entry.source == web / "install.d/firmware"
    assert len(entry.read()) == 2**20


def test_a_script_without_its_execute_bit(web):
    (web / "install.d/10-web").chmod(0o644)
    assert failure(web) == (
        "`install.d/10-web` of flavour `web` lacks its execute bit\n"
        + WHERE
        + "cause: a file named NN-… is a script, and a script that is not executable would never run\n"
        "hint: chmod +x WEB/install.d/10-web, or give data another name"
    )


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("setup.sh", "50-setup-sh"),
        ("10-setup.sh", "10-setup-sh"),
        ("10_setup", "10-setup"),
        ("5-setup", "50-setup"),
        ("100-setup", "50-setup"),
        ("10-Setup", "10-setup"),
        ("10-setup~", "10-setup"),
        ("README.md", "50-readme-md"),
    ],
)
def test_an_executable_whose_name_would_be_skipped(shelf, web, name, suggestion):
    shelf.write(web / "install.d" / name, SCRIPT)
    assert failure(web) == (
        f"`install.d/{name}` of flavour `web` is executable, and its name would be skipped\n"
        + WHERE
        + "cause: a script is named NN-name: two digits, a dash, lower-case letters, digits and dashes\n"
        f"hint: name it `{suggestion}`; a helper that scripts call belongs into a sub-folder"
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pre-finalize.d", "finalise.d"),
        ("finalize.d", "finalise.d"),
        ("pre_install.d", "pre-install.d"),
        ("instal.d", "install.d"),
        ("firstboot.d", "first-boot.d"),
        ("clean.d", "cleanup.d"),
        ("blockdevice-size.d", "block-device-size.d"),
    ],
)
def test_an_unknown_phase_folder_with_the_nearest(shelf, web, name, near):
    shelf.write(web / name / "10-x", SCRIPT)
    assert failure(web) == (
        f"flavour `web` has a folder `{name}`, which is no hook phase\n" + WHERE + f"hint: did you mean `{near}`?"
    )


def test_root_scripts_in_a_flavour_that_is_no_operating_system(shelf, web):
    shelf.system()
    shelf.write(web / "root.d/10-root", SCRIPT)
    with pytest.raises(ContractError) as caught:
        shelf.prepare("web")
    assert str(caught.value).replace(str(web), "WEB") == (
        "flavour `web` has a folder `root.d` and is no operating system\n"
        + WHERE
        + "cause: only the operating-system flavour makes the root tree\n"
        'hint: if it is one, say so in flavour.toml: provides = ["operating-system"]'
    )


def test_a_folder_of_package_scripts(shelf, web):
    shelf.write(web / "packages.d/10-x", SCRIPT)
    assert "name the packages in flavour.toml" in failure(web)


def test_a_dangling_link_among_the_data(web):
    (web / "install.d/data").symlink_to("nowhere")
    assert failure(web) == (
        "`WEB/install.d/data` of flavour `web` cannot be read\n" + WHERE + "cause: No such file or directory"
    )


def test_a_pipe_among_the_data(web):
    os.mkfifo(web / "install.d/pipe")
    assert failure(web) == "`WEB/install.d/pipe` of flavour `web` is neither a file nor a folder\n" + WHERE.rstrip()


def test_a_link_that_leads_in_a_circle(web):
    (web / "install.d/circle").symlink_to(".")
    assert "leads back into a folder above it" in failure(web)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(web):
    (web / "install.d/10-web").chmod(0o300)
    assert failure(web).startswith("`WEB/install.d/10-web` of flavour `web` cannot be read")


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("x = ", "is not TOML"),
        ('sumary = "x"', "has an unknown key `sumary`\n" + WHERE + "hint: did you mean `summary`?"),
        ("summary = 3", "has a wrong value: `summary` must be a string\n" + WHERE + "cause: it is 3"),
        (
            'requires = "ssh"',
            "has a wrong value: `requires` must be a list of non-empty strings\n" + WHERE + "cause: it is 'ssh'",
        ),
        ("requires = [3]", "has a wrong value: `requires` must be a list of non-empty strings"),
        ("parameters = 3", "has a wrong value: `parameters` must be a table"),
        ("[parameters]\nport = 3", "has a wrong value: `parameters.port` must be a table"),
        (
            '[parameters.port]\ntpye = "integer"',
            "has an unknown key `parameters.port.tpye`\n" + WHERE + "hint: did you mean `type`?",
        ),
        (
            '[parameters.port]\ntype = "number"',
            "has a wrong value: `parameters.port.type` must be one of string, integer, boolean, path",
        ),
        ('[parameters.port]\nrequired = "yes"', "has a wrong value: `parameters.port.required` must be true or false"),
        (
            '[edges.instal.10-web]\nafter = ["x"]',
            "has an unknown key `edges.instal`\n" + WHERE + "hint: did you mean `install`?",
        ),
        (
            '[edges.install.10-web]\nafer = ["x"]',
            "has an unknown key `edges.install.10-web.afer`\n" + WHERE + "hint: did you mean `after`?",
        ),
        (
            '[edges.install.10-wbe]\nafter = ["x"]',
            "has edges of `install/10-wbe`, which it lacks\n" + WHERE + "hint: did you mean `10-web`?",
        ),
    ],
)
def test_a_mistake_in_flavour_toml(web, toml, text):
    (web / "flavour.toml").write_text(toml)
    shown = failure(web)
    assert shown.startswith(f"`flavour.toml` of flavour `web` {text}")


def test_a_reserved_parameter_in_flavour_toml(web):
    (web / "flavour.toml").write_text("[parameters.target-root]\n")
    assert failure(web).startswith(
        "the parameter `target-root` of flavour `web` is wrong: its variable TARGET_ROOT is reserved"
    )


def test_the_files_of_a_ramdisk(shelf):
    from imagewright.asking import Panel
    from imagewright.discovery import choose, load
    from imagewright.entrypoints import survey

    shelf.flavour(
        "mellanox",
        **{
            "binary-deps": "lsscsi  ethtool\nibstat\n",
            "init": "modprobe mlx4_en\n",
            "udev/81-mellanox.rules": 'ACTION=="add"\n',
            "udev/README": "x",
            "modules": "mlx4_en # Ethernet\nmlx4_ib mlx5_core\n",
            "files/etc/mellanox": "x",
        },
    )
    loaded = load(choose("mellanox", survey(shelf.paths)))
    panel = Panel([loaded])
    ctx = BuildContext(
        arch="amd64", release="", operating_system="", flavours=("mellanox",), image_name="r", ramdisk=True
    )
    assert [one.name for one in panel.binary_deps(loaded, ctx)] == ["lsscsi", "ethtool", "ibstat"]
    assert [one.content for one in panel.init(loaded, ctx)] == ["modprobe mlx4_en\n"]
    assert [(one.name, one.content) for one in panel.udev(loaded, ctx)] == [("81-mellanox.rules", b'ACTION=="add"\n')]
    assert [one.names for one in panel.modules(loaded, ctx)] == [("mlx4_en", "mlx4_ib", "mlx5_core")]
    assert [entry.path for tree in panel.files(loaded, ctx) for entry in tree.entries] == ["etc", "etc/mellanox"]
