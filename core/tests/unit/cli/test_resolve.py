from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.cli.options.kinds import Kind
from imagewright.cli.options.resolve import FILE_NAME, SettingsFile, from_flag, read_files, read_toml, resolve
from imagewright.cli.options.settings import SETTINGS
from imagewright.errors import UsageError
from imagewright.types import GIB

RELEASE = SETTINGS["release"]
ANCESTORS = {
    "arch": "ARCH",
    "cloud-images": "CLOUD_IMAGES",
    "kernel-version": "KERNEL_VERSION",
    "module-root": "MODULE_ROOT",
    "busybox": "BUSYBOX",
    "base-image-file": "BASE_IMAGE_FILE",
    "release": "RELEASE",
    "output": "IMAGE_NAME",
    "type": "IMAGE_TYPE",
    "image-size": "IMAGE_SIZE",
    "fs-type": "FS_TYPE",
    "flavour-path": "FLAVOURS_PATH",
    "work-dir": "TMPDIR",
}


def settings_file(path: str, text: str) -> SettingsFile:
    return SettingsFile(path=Path(path), table=tomllib.loads(text))


def value_of(name, *, flags=None, environment=None, files=()):
    values = resolve([SETTINGS[name]], flags=flags or {}, environment=environment or {}, files=files)
    return values[name], values.resolved[0].source


@given(st.sets(st.sampled_from(["flag", "variable", "ancestor", "project", "user"])))
def test_the_strongest_source_that_says_something_wins(sources):
    flags = {"release": "flag"} if "flag" in sources else {}
    environment = {}
    if "variable" in sources:
        environment["IMAGEWRIGHT_RELEASE"] = "variable"
    if "ancestor" in sources:
        environment["RELEASE"] = "ancestor"
    files = [settings_file(f"/{name}", f'release = "{name}"') for name in ("project", "user") if name in sources]
    expected = next(
        (
            (name, source)
            for name, source in (
                ("flag", "--release"),
                ("variable", "IMAGEWRIGHT_RELEASE"),
                ("ancestor", "RELEASE"),
                ("project", "/project"),
                ("user", "/user"),
            )
            if name in sources
        ),
        ("", "default"),
    )
    assert value_of("release", flags=flags, environment=environment, files=files) == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_an_empty_variable_is_an_unset_one(name):
    environment = dict.fromkeys(SETTINGS[name].variables, "")
    assert value_of(name, environment=environment) == (SETTINGS[name].default, "default")


def test_an_empty_variable_lets_the_ancestors_one_through():
    assert value_of("release", environment={"IMAGEWRIGHT_RELEASE": "", "RELEASE": "old"}) == ("old", "RELEASE")


def test_the_ancestors_variables_are_honoured():
    assert {name: setting.ancestor for name, setting in SETTINGS.items() if setting.ancestor} == ANCESTORS


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("IMAGEWRIGHT_OFFLINE", "maybe"),
        ("IMAGE_SIZE", "4G"),
        ("IMAGEWRIGHT_IMAGE_SIZE", "-1"),
        ("IMAGEWRIGHT_IMAGE_SIZE", "nan"),
        ("IMAGEWRIGHT_IMAGE_SIZE", "inf"),
        ("ARCH", "i386"),
        ("FS_TYPE", "xfs"),
        ("IMAGEWRIGHT_SET", "vm=1"),
        ("IMAGEWRIGHT_SET", "'unfinished"),
        ("IMAGEWRIGHT_SKIP", "vm:install"),
        ("IMAGEWRIGHT_MIRROR", "deb.example.org"),
        ("CLOUD_IMAGES", "cloud-images.example"),
        ("CLOUD_IMAGES", "file:///srv/images"),
        ("CLOUD_IMAGES", "http://"),
        ("CLOUD_IMAGES", "http://cloud-images.example:99999"),
        ("IMAGEWRIGHT_ROOT_LABEL", "a-label-of-17-chr"),
        ("IMAGEWRIGHT_PROGRESS", "fancy"),
        ("IMAGEWRIGHT_CA_CERTIFICATE", "/nonexistent/ca.pem"),
        ("IMAGEWRIGHT_MEMORY", "0"),
        ("MODULE_ROOT", "/nonexistent/root"),
    ],
)
def test_a_bad_value_in_the_environment_names_the_variable(variable, text):
    name = next(name for name, setting in SETTINGS.items() if variable in setting.variables)
    with pytest.raises(UsageError, match=f"`{variable}`") as failure:
        value_of(name, environment={variable: text})
    assert failure.value.exit_code == 2


def test_a_stronger_source_hides_a_bad_weaker_one():
    assert value_of("image-size", flags={"image-size": "1"}, environment={"IMAGE_SIZE": "big"}) == (
        GIB,
        "--image-size",
    )


@pytest.mark.parametrize(
    ("text", "size"), [("2", 2 * GIB), ("0.5", GIB // 2), ("2.25", 9 * GIB // 4), ("1e1", 10 * GIB), (" 3 ", 3 * GIB)]
)
def test_a_size_is_a_number_of_gib(text, size):
    assert value_of("image-size", environment={"IMAGE_SIZE": text})[0] == size


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["raw,qcow2"], ("raw", "qcow2")),
        (["raw", "tar"], ("raw", "tar")),
        (["raw, tar", "raw"], ("raw", "tar")),
    ],
)
def test_types_are_repeated_or_separated_by_commas(given, expected):
    assert value_of("type", flags={"type": given})[0] == expected


def test_a_variable_holds_names_at_white_space_and_commas_and_paths_at_colons():
    assert value_of("package", environment={"IMAGEWRIGHT_PACKAGE": "vim, jq  curl"})[0] == ("vim", "jq", "curl")
    assert value_of("flavour-path", environment={"FLAVOURS_PATH": "/a:/b:"})[0] == (Path("/a"), Path("/b"))


def test_a_variable_of_pairs_is_quoted_as_in_a_shell():
    environment = {"IMAGEWRIGHT_SET": "vm.title='two words' a.b=c=d"}
    assert value_of("set", environment=environment)[0] == (("vm", "title", "two words"), ("a", "b", "c=d"))


def test_pairs_of_all_sources_are_joined_and_the_strongest_wins_each_key():
    value, source = value_of(
        "set",
        flags={"set": ["vm.a=flag"]},
        environment={"IMAGEWRIGHT_SET": "vm.a=variable vm.b=variable"},
        files=[settings_file("/f", "[set.vm]\na = 1\nc = true")],
    )
    assert sorted(value) == [("vm", "a", "flag"), ("vm", "b", "variable"), ("vm", "c", "true")]
    assert source == "--set, IMAGEWRIGHT_SET, /f"


def test_a_switch_can_be_undone_by_a_flag():
    assert value_of("offline", flags={"offline": False}, environment={"IMAGEWRIGHT_OFFLINE": "1"})[0] is False


@pytest.mark.parametrize(
    "setting", [setting for setting in SETTINGS.values() if setting.kind is Kind.SWITCH], ids=lambda one: one.name
)
def test_a_switch_in_a_file_is_true_or_false_and_nothing_else(setting):
    assert value_of(setting.name, files=[settings_file("/f", f"{setting.name} = true")]) == (True, "/f")
    with pytest.raises(UsageError, match=f"`{setting.name}` in `/f`"):
        value_of(setting.name, files=[settings_file("/f", f'{setting.name} = "true"')])


@pytest.mark.parametrize(
    "text",
    ['image-size = "4G"', "image-size = [4]", "image-size = 1979-05-27", "image-size = true", "fs-type = 3"],
)
def test_a_bad_value_in_a_file_names_file_and_key(text):
    name = text.partition(" ")[0]
    with pytest.raises(UsageError, match=f"`{name}` in `/f`"):
        value_of(name, files=[settings_file("/f", text)])


def test_a_file_may_give_numbers_and_lists():
    files = [settings_file("/f", 'image-size = 2.5\ntype = ["raw", "tar"]\npackage = "vim"')]
    assert value_of("image-size", files=files)[0] == 5 * GIB // 2
    assert value_of("type", files=files)[0] == ("raw", "tar")
    assert value_of("package", files=files)[0] == ("vim",)


def test_a_relative_path_in_a_file_is_relative_to_the_file(tmp_path):
    (tmp_path / "mine").mkdir()
    files = [settings_file(f"{tmp_path}/f.toml", 'flavour-path = ["flavours"]\noverride = {vm = "mine"}')]
    assert value_of("flavour-path", files=files)[0] == (tmp_path / "flavours",)
    assert value_of("override", files=files)[0] == (("vm", tmp_path / "mine"),)


@pytest.mark.parametrize("given", ["out/", "/out/", "~/"])
def test_an_output_that_ends_with_a_slash_names_a_folder_wherever_it_is_given(given):
    for source in (
        {"flags": {"output": given}},
        {"environment": {"IMAGE_NAME": given}},
        {"files": [settings_file("/f", f'output = "{given}"')]},
    ):
        with pytest.raises(UsageError, match="it names a folder; name a file, such as"):
            value_of("output", **source)


def test_the_project_file_is_stronger_than_the_users_and_either_may_be_missing(tmp_path):
    user = tmp_path / "user.toml"
    assert read_files(tmp_path, user) == ()
    user.write_text('release = "bookworm"\narch = "amd64"')
    (tmp_path / FILE_NAME).write_text('release = "trixie"')
    files = read_files(tmp_path, user)
    assert value_of("release", files=files) == ("trixie", str(tmp_path / FILE_NAME))
    assert value_of("arch", files=files) == ("amd64", str(user))


def test_an_unknown_key_names_the_file_and_the_nearest_option(tmp_path):
    (tmp_path / FILE_NAME).write_text("image_sise = 4")
    with pytest.raises(UsageError, match="image_sise") as failure:
        read_files(tmp_path, tmp_path / "none")
    assert str(tmp_path / FILE_NAME) in failure.value.message
    assert "`image-size`" in failure.value.hint


@pytest.mark.parametrize(
    ("content", "cause"), [(b"arch = [", "end of document"), (b'arch = "\xff"', "it is not UTF-8")]
)
def test_a_file_that_is_not_toml_is_named(tmp_path, content, cause):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(UsageError, match="not TOML") as failure:
        read_files(tmp_path, tmp_path / "none")
    assert cause in failure.value.cause
    # what the hint shows must be what it calls for
    lines = [line for line in failure.value.hint.split("`") if "=" in line]
    assert [tomllib.loads(line) for line in lines] == [{"release": "trixie"}, {"type": ["raw", "tar"]}]


def test_the_value_of_a_malformed_parameter_is_not_shown():
    with pytest.raises(UsageError) as failure:
        value_of("set", flags={"set": ["password=hunter2"]})
    assert "hunter2" not in str(failure.value)


def test_the_end_of_a_value_that_nobody_quoted_is_not_shown():
    with pytest.raises(UsageError) as failure:
        value_of("set", environment={"IMAGEWRIGHT_SET": "repo.password=my hunter2"})
    assert "hunter2" not in str(failure.value)
    assert "quotes" in str(failure.value)


@pytest.mark.parametrize("name", ["sign-key", "verify-key", "repository-login", "ca-certificate"])
def test_a_pipe_or_a_device_is_no_file_and_is_not_waited_for(tmp_path, name):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/zero")):
        with pytest.raises(UsageError) as caught:
            from_flag(SETTINGS[name], str(place))
        assert "it must be a file" in caught.value.message


def test_a_number_that_is_too_large_is_told_the_largest():
    with pytest.raises(UsageError) as caught:
        from_flag(SETTINGS["step-memory"], "1000000000")
    assert "from 0 to 999999999" in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "mode", "reason"),
    [
        ("ca-certificate", "no certificate", 0o644, "it must hold certificates in PEM form"),
        ("ca-certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o644, "PEM form"),
        ("busybox", "#!/bin/sh\n", 0o755, "it must be a program (an ELF file)"),
        ("busybox", "\x7fELF", 0o644, "it may not be executed; `chmod +x"),
    ],
)
def test_a_file_of_another_kind_is_refused_before_any_work(tmp_path, name, content, mode, reason):
    given = tmp_path / "given"
    given.write_text(content)
    given.chmod(mode)
    with pytest.raises(UsageError) as caught:
        from_flag(SETTINGS[name], str(given))
    assert reason in caught.value.message


def test_certificates_of_the_host_are_taken():
    host = Path("/etc/ssl/certs/ca-certificates.crt")
    assert from_flag(SETTINGS["ca-certificate"], str(host)) == host


@pytest.mark.parametrize("place", ["/dev/zero", "/"])
def test_what_never_ends_is_no_settings_file(place):
    with pytest.raises(UsageError) as caught:
        read_toml(Path(place))
    assert caught.value.message == f"`{place}` is no file"
