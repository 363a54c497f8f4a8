"""The real command on the toy operating system: options, names, what goes to stdout, and what lies beside the image."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit, program
from imagewright.testing.repository import MOMENT
from imagewright.testing.trees import TarView

TOY = ("--skip-base", "toy")


def test_stdout_holds_the_paths_that_were_written_and_nothing_else(image_kit: ImageKit) -> None:
    done = image_kit.command("disk-image-create", "-o", "demo", "-t", "tar", *TOY)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in paths] == ["demo.tar", "demo.manifest.json", "demo.sha256"]
    assert all((image_kit.output / path).exists() for path in paths)


@pytest.mark.parametrize("name", ["demo", "demo.raw"])
def test_a_name_with_or_without_suffix_gives_the_same_file(image_kit: ImageKit, name: str) -> None:
    image_kit.command("disk-image-create", "-o", name, "-t", "raw", "--image-size", "0.0625", *TOY)
    assert {path.name for path in image_kit.output.iterdir()} == {"demo.raw", "demo.manifest.json", "demo.sha256"}


def test_several_types_come_from_one_build(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", "-o", "demo", "-t", "raw,tar", "-t", "qcow2", "--image-size", "0.0625", *TOY)
    assert {path.suffix for path in image_kit.output.iterdir()} == {".raw", ".tar", ".qcow2", ".json", ".sha256"}


def test_qcow2_is_the_type_if_none_is_named(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", "-o", "demo", "--image-size", "0.0625", *TOY)
    assert (image_kit.output / "demo.qcow2").read_bytes()[:4] == b"QFI\xfb"


def test_options_may_stand_after_the_flavours(image_kit: ImageKit) -> None:
    done = image_kit.command("disk-image-create", "toy", "-o", "demo", "--skip-base", "-t", "tar")
    assert done.stdout.splitlines()[0].endswith("demo.tar")


def test_json_is_one_document_on_stdout(image_kit: ImageKit) -> None:
    done = image_kit.command("disk-image-create", "--json", "-o", "demo", "-t", "tar", *TOY)
    document = json.loads(done.stdout)
    assert Path(document["paths"][0]).name == "demo.tar"


def test_json_progress_is_one_event_per_line(image_kit: ImageKit) -> None:
    done = image_kit.command("disk-image-create", "--progress", "json", "-o", "demo", "-t", "tar", *TOY)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(events) > 10
    assert "demo.tar" in done.stdout


def test_a_plan_builds_nothing(image_kit: ImageKit) -> None:
    done = image_kit.command("disk-image-create", "--plan", "-o", "demo", *TOY)
    for word in ("root", "10-busybox", "packages", "20-install", "imagewright-toy"):
        assert word in done.stdout
    assert not list(image_kit.output.iterdir())
    assert not list(image_kit.work.iterdir())


def test_the_manifest_tells_what_was_built_from_what(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", "-o", "demo", "-t", "tar", "-p", "hello", *TOY)
    manifest = json.loads((image_kit.output / "demo.manifest.json").read_text())
    assert manifest["image"]["id"] == "demo"
    assert {package["name"]: package["version"] for package in manifest["packages"]}["hello"] == "2.0"
    (toy,) = manifest["plan"]["flavours"]
    assert (toy["name"], toy["distribution"]) == ("toy", "imagewright-toy")
    assert "package versions" in manifest["facts"]
    (artefact,) = manifest["artefacts"]
    assert artefact["file"] == "demo.tar"
    assert artefact["sha256"] == hashlib.sha256((image_kit.output / "demo.tar").read_bytes()).hexdigest()
    assert artefact["size"] == (image_kit.output / "demo.tar").stat().st_size


@pytest.mark.parametrize("name", ["demo", "a name with spaces", "C:\\images\\demo", "\\"])
def test_the_sums_are_those_that_sha256sum_writes_and_reads(image_kit: ImageKit, name: str) -> None:
    image_kit.command("disk-image-create", "-o", name, "-t", "tar", *TOY)
    files = [f"{name}.tar", f"{name}.manifest.json"]
    written = subprocess.run(["sha256sum", "--", *files], cwd=image_kit.output, capture_output=True, text=True)
    assert (image_kit.output / f"{name}.sha256").read_text() == written.stdout
    done = subprocess.run(["sha256sum", "-c", f"{name}.sha256"], cwd=image_kit.output, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK\n") == 2


def test_the_image_carries_its_name_and_version(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", "-o", "demo", "-t", "tar", *TOY)
    release = TarView(image_kit.output / "demo.tar").read("etc/os-release")
    manifest = json.loads((image_kit.output / "demo.manifest.json").read_text())
    assert "IMAGE_ID=demo" in release
    assert f"IMAGE_VERSION={manifest['image']['version']}" in release


def test_no_file_of_the_image_is_younger_than_its_moment(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", "-o", "demo", "-t", "tar", *TOY)
    view = TarView(image_kit.output / "demo.tar")
    assert max(view.get(path).moment for path in view.entries()) <= MOMENT


def test_the_callers_source_date_epoch_is_obeyed(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", "-o", "demo", "-t", "tar", *TOY, SOURCE_DATE_EPOCH="1600000000")
    view = TarView(image_kit.output / "demo.tar")
    assert max(view.get(path).moment for path in view.entries()) <= 1_600_000_000


@pytest.mark.parametrize("variables", [{"IMAGEWRIGHT_TYPE": "tar"}, {"IMAGE_TYPE": "tar"}])
def test_variables_set_options(image_kit: ImageKit, variables: dict[str, str]) -> None:
    image_kit.command("disk-image-create", "-o", "demo", *TOY, **variables)
    assert (image_kit.output / "demo.tar").exists()


def test_a_flag_is_stronger_than_the_variable_and_that_than_the_ancestors(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", *TOY, "-t", "tar", "-o", "flag", IMAGEWRIGHT_TYPE="raw", IMAGE_TYPE="qcow2")
    image_kit.command("disk-image-create", *TOY, "-o", "own", IMAGEWRIGHT_TYPE="tar", IMAGE_TYPE="qcow2")
    assert {path.name for path in image_kit.output.glob("*.tar")} == {"flag.tar", "own.tar"}


def test_an_empty_variable_is_unset(image_kit: ImageKit) -> None:
    image_kit.command("disk-image-create", *TOY, "-o", "demo", IMAGEWRIGHT_TYPE="", IMAGE_TYPE="tar")
    assert (image_kit.output / "demo.tar").exists()


def test_a_project_file_sets_options(image_kit: ImageKit) -> None:
    (image_kit.output / "imagewright.toml").write_text('type = ["tar"]\noutput = "from-file"\n')
    image_kit.command("disk-image-create", *TOY)
    assert (image_kit.output / "from-file.tar").exists()


def test_parameters_come_from_the_environment_and_from_set(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "greeter",
        {
            "flavour.toml": '[parameters.whom]\nhelp = "whom to greet"\ndefault = "nobody"\n',
            "install.d/10-greet": '#!/bin/sh\necho "$WHOM" >/greeted\n',
        },
    )
    for name, words, variables in (
        ("a", (), {}),
        ("b", (), {"WHOM": "the environment"}),
        ("c", ("--set", "greeter.whom=the option"), {"WHOM": "the environment"}),
    ):
        image_kit.command("disk-image-create", "-o", name, "-t", "tar", *TOY, "greeter", *words, **variables)
    greeted = [TarView(image_kit.output / f"{name}.tar").read("greeted").strip() for name in "abc"]
    assert greeted == ["nobody", "the environment", "the option"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("toyy",), 3, "toy"),
        (("toy", "--image-size", "many"), 2, "image-size"),
        (("toy", "-t", "qcow3"), 2, "qcow2"),
        (("toy", "-a", "arm64"), 2, "arm64"),
        (("toy", "--fs-type", "xfs"), 2, "xfs"),
        (("toy", "-o", "missing/demo"), 4, "missing"),
        (("toy", "-o", "missing/"), 2, "names a folder"),
        (("toy", "--image-size", "0.001"), 3, "no image fits into 0.001 GiB"),
        (("toy", "--lock", "image.sha256"), 2, "image.sha256 would be a file of the image too"),
        (("toy", "--lock", "missing/web.lock"), 4, "the lock file cannot be written to"),
        (("toy", "--plan", "--offline", "--refresh"), 2, "with --offline none can be asked"),
        (("toy", "--plan", "--from", "install/20-two"), 2, "no such step of the tree"),
        (("toy", "--cache-dir", "/proc/x"), 4, "no folder can be made in /proc"),
        (("toy", "--work-dir", "/proc/x"), 4, "no folder can be made in /proc"),
    ],
)
def test_bad_input_gives_one_message_and_its_exit_code(
    image_kit: ImageKit, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = image_kit.command("disk-image-create", "--skip-base", *arguments, check=False)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(image_kit.output.iterdir())
    assert not list(image_kit.work.iterdir())


def test_a_bad_value_in_the_environment_names_the_variable(image_kit: ImageKit) -> None:
    done = image_kit.command("disk-image-create", *TOY, check=False, IMAGEWRIGHT_IMAGE_SIZE="many")
    assert done.returncode == 2
    assert "IMAGEWRIGHT_IMAGE_SIZE" in done.stderr


def test_an_unknown_key_of_a_project_file_names_the_nearest(image_kit: ImageKit) -> None:
    (image_kit.output / "imagewright.toml").write_text("image-sise = 3\n")
    done = image_kit.command("disk-image-create", *TOY, check=False)
    assert done.returncode == 2
    assert "image-size" in done.stderr


@pytest.mark.parametrize("place", ["/dev/full", "&-"])
def test_where_stdout_takes_nothing_the_artefacts_are_in_place_and_the_message_names_them(
    image_kit: ImageKit, place: str
) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$0" -o demo -t tar --progress none --skip-base toy >{place}',
            program("disk-image-create"),
        ],
        env=image_kit.environment(),
        cwd=image_kit.output,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: standard output cannot be written\n")
    names = [Path(line.partition("in place: ")[2]).name for line in done.stderr.splitlines() if "in place: " in line]
    assert names == ["demo.tar", "demo.manifest.json", "demo.sha256"]
    assert {path.name for path in image_kit.output.iterdir()} == set(names)


def test_the_command_works_where_its_output_is_a_closed_pipe(image_kit: ImageKit) -> None:
    done = subprocess.run(
        f"{program('disk-image-create')} -o demo -t tar --skip-base toy | true",
        shell=True,
        env=image_kit.environment(),
        cwd=image_kit.output,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert (image_kit.output / "demo.tar").exists()
