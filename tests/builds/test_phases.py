"""Each phase runs once, in order, in its place, with the environment that design and contract promise."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit
from imagewright.testing.repository import KERNEL, MOMENT

from .conftest import PROBED_SYSTEM, SCRIPT_PHASES, TARGET_PHASES, Answers, Probed

HOST_PHASES = ("block-device-size", "extra-data")
OUTSIDE_PHASES = ("cleanup", "block-device")
AFTER_PACKAGES = ("install", "post-install", "finalise", "cleanup", "block-device")


def test_every_phase_runs_once_and_in_order(probed: Probed) -> None:
    assert probed.answers.phases() == list(SCRIPT_PHASES)


def test_the_monitor_is_told_of_the_phases_in_their_order(probed: Probed) -> None:
    phases = list(dict.fromkeys(step.partition("/")[0] for step in probed.built.steps))
    expected = ["block-device-size", "extra-data", "root", "pre-install", "packages", "install", "post-install"]
    assert [phase for phase in phases if phase not in ("block-device", "disk", "artefacts")] == [
        *expected,
        "finalise",
        "cleanup",
    ]


def test_steps_of_all_flavours_are_ordered_by_number_then_name(probed: Probed) -> None:
    assert probed.built.read("usr/share/probe/order").split() == [
        "pre-install",
        "stranger",
        "install",
        "needed",
        "post-install",
        "finalise",
    ]


@pytest.mark.parametrize("phase", HOST_PHASES)
def test_host_phases_run_as_the_caller_with_their_home(probed: Probed, phase: str) -> None:
    assert probed.answers.get(phase, "uid") == str(os.getuid())
    assert probed.answers.get(phase, "outer-uid") == Path("/proc/self/uid_map").read_text().split()[1]
    assert probed.answers.variables(phase)["HOME"] == os.environ["HOME"]
    assert probed.answers.get(phase, "system") != "toy"
    assert "TARGET_ROOT" not in probed.answers.variables(phase)


@pytest.mark.parametrize("phase", TARGET_PHASES)
def test_target_phases_run_inside_as_root_of_mapped_ids(probed: Probed, phase: str) -> None:
    assert probed.answers.get(phase, "uid") == "0"
    assert probed.answers.get(phase, "system") == "toy"
    assert probed.answers.variables(phase)["HOME"] == "/root"
    assert probed.answers.variables(phase)["DEBIAN_FRONTEND"] == "noninteractive"
    assert "TARGET_ROOT" not in probed.answers.variables(phase)
    # never the identity: the host's files would be open to hooks
    assert probed.answers.get(phase, "outer-uid") != "0"


@pytest.mark.parametrize("phase", OUTSIDE_PHASES)
def test_outside_phases_run_as_mapped_root_beside_the_tree(probed: Probed, phase: str) -> None:
    assert probed.answers.get(phase, "uid") == "0"
    assert probed.answers.get(phase, "outer-uid") != "0"
    assert probed.answers.get(phase, "system") != "toy"


def test_cleanup_is_told_where_the_tree_is(probed: Probed) -> None:
    assert {"etc", "usr", "var", "bin"} <= set(probed.answers.get("cleanup", "target").split())


def test_the_block_device_phase_gets_the_disk(probed: Probed) -> None:
    assert probed.answers.variables("block-device")["IMAGE_BLOCK_DEVICE"].endswith("disk.raw")


@pytest.mark.parametrize("phase", SCRIPT_PHASES)
def test_every_script_gets_the_variables_of_the_contract(probed: Probed, phase: str) -> None:
    variables = probed.answers.variables(phase)
    assert variables["ARCH"] == "amd64"
    assert variables["RELEASE"] == "first"
    assert variables["IMAGE_NAME"] == "image"
    assert variables["TZ"] == "UTC"
    assert variables["LC_ALL"] == "C.UTF-8"
    assert variables["SOURCE_DATE_EPOCH"].isdigit()
    assert variables["COLOUR"] == "green"
    assert probed.answers.get(phase, "umask") == "0022"
    assert probed.answers.get(phase, "stdin") == "/dev/null"
    assert probed.answers.get(phase, "_LIB") == "readable"
    assert probed.answers.get(phase, "die").startswith("error: it is over") or "it is over" in probed.built.log


@pytest.mark.parametrize("phase", SCRIPT_PHASES)
def test_data_files_lie_beside_the_script(probed: Probed, phase: str) -> None:
    assert probed.answers.get(phase, "answer") == f"data of {phase}"


@pytest.mark.parametrize("phase", SCRIPT_PHASES)
def test_sudo_in_a_script_changes_nothing(probed: Probed, phase: str) -> None:
    # on the host it stays the caller, whatever sudoers allows them
    user = os.getuid() if phase in HOST_PHASES else 0
    assert probed.answers.get(phase, "sudo") == f"{user} and no password"


@pytest.mark.parametrize("phase", AFTER_PACKAGES)
def test_the_kernels_version_is_known_once_there_is_a_kernel(probed: Probed, phase: str) -> None:
    assert probed.answers.variables(phase)["IMAGE_KERNEL"] == KERNEL


@pytest.mark.parametrize("phase", ["block-device-size", "extra-data", "pre-install"])
def test_there_is_no_kernels_version_before_there_is_a_kernel(probed: Probed, phase: str) -> None:
    assert "IMAGE_KERNEL" not in probed.answers.variables(phase)


@pytest.mark.parametrize("phase", AFTER_PACKAGES)
def test_the_moment_is_that_of_the_packages(probed: Probed, phase: str) -> None:
    assert probed.answers.variables(phase)["SOURCE_DATE_EPOCH"] == str(MOMENT)


def test_the_image_size_is_given_in_whole_gib_rounded_up(probed: Probed) -> None:
    assert probed.answers.variables("block-device-size")["IMAGE_SIZE"] == "1"


@pytest.mark.parametrize("phase", TARGET_PHASES)
def test_temporary_folders_are_empty_at_each_step(probed: Probed, phase: str) -> None:
    assert probed.answers.get(phase, "in/tmp") in ("in_target.d", "")
    assert probed.answers.get(phase, "in/var/tmp") == ""
    assert "left" not in probed.answers.get(phase, "in/run")


def test_temporary_folders_are_empty_in_the_image(probed: Probed) -> None:
    for folder in ("tmp", "run", "var/tmp"):
        assert probed.built.entries(folder) == ()


@pytest.mark.parametrize("phase", TARGET_PHASES)
def test_the_target_has_devices_and_processes_of_its_own(probed: Probed, phase: str) -> None:
    assert {"null", "zero", "urandom", "pts", "shm", "tty", "fd"} <= set(probed.answers.get(phase, "dev").split())
    assert int(probed.answers.get(phase, "pid")) < 10
    assert probed.answers.get(phase, "write-sys") == "refused"


@pytest.mark.parametrize("phase", TARGET_PHASES)
def test_a_step_sees_its_own_files_those_required_and_extra_data(probed: Probed, phase: str) -> None:
    seen = set(probed.answers.get(phase, "beside").split())
    assert {"./install.d/50-probe", "./install.d/answer", "./cleanup.d/answer"} <= seen
    assert {"./install.d/60-needed", "./install.d/needed"} <= seen
    assert {"./brought/note", "./brought/tool", "./install.d/callers"} <= seen
    assert not {"./install.d/strange", "./install.d/40-stranger"} & seen
    assert probed.answers.get(phase, "write-hooks") == "refused"


def test_a_required_flavour_sees_not_the_files_of_who_requires_it(probed: Probed) -> None:
    assert "needed sees: 60-needed callers needed" in probed.built.log
    assert "stranger sees: 40-stranger callers strange" in probed.built.log


def test_static_files_are_in_the_image_and_owned_by_root(probed: Probed) -> None:
    built = probed.built
    assert built.read("etc/probe.d/conf") == "static\n"
    assert built.link("etc/probe.d/link") == "conf"
    assert built.mode("usr/local/bin/probe") == 0o755
    assert built.mode("etc/probe.d") == 0o755
    assert built.owner("etc/probe.d/conf") == (0, 0)


def test_first_boot_scripts_and_their_data_are_placed_and_not_run(probed: Probed) -> None:
    scripts = "usr/lib/imagewright/first-boot.d"
    assert probed.built.mode(f"{scripts}/50-probe") == 0o755
    assert probed.built.read(f"{scripts}/answer") == "data of first-boot\n"
    assert probed.built.exists("etc/systemd/system/multi-user.target.wants/imagewright-first-boot.service")
    assert "first-boot" not in probed.answers.phases()


def test_packages_of_flavours_and_what_they_need_are_installed(probed: Probed) -> None:
    assert probed.built.packages == {"kernel": "1.0", "hello": "2.0", "greeting": "1.1"}
    assert probed.built.read("usr/share/greeting") == "hello, world\n"


def test_nothing_that_serves_the_build_is_in_the_image(probed: Probed) -> None:
    entries = probed.built.entries()
    assert not [path for path in entries if "toypm" in path and path.startswith(("usr", "etc"))]
    assert not [path for path in entries if "in_target.d" in path or path.startswith(("tmp/", "run/"))]


def test_a_secret_is_nowhere(probed: Probed) -> None:
    assert probed.answers.variables("install")["TOKEN"] == "***"
    assert "s3cr3t-t0ken" not in probed.built.log
    for path in probed.built.paths:
        assert b"s3cr3t-t0ken" not in path.read_bytes(), path.name
    # the layers that are kept, and what is recorded of them
    kept = [path for path in probed.kit.cache.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name.endswith(".json") for path in kept)
    assert not [path for path in kept if b"s3cr3t-t0ken" in path.read_bytes()]


def test_the_root_of_the_image_belongs_to_root(probed: Probed) -> None:
    assert probed.built.owner("") == (0, 0)
    assert probed.built.mode("") == 0o755
    assert stat.S_IMODE(probed.built.mode("tmp")) == 0o1777


def test_the_root_phase_runs_outside_with_an_empty_tree(image_kit: ImageKit) -> None:
    folder = image_kit.folder / "probed-system"
    (folder / "root.d").mkdir(parents=True)
    ask = Path(__file__).parent / "flavours/probe/ask"
    (folder / "root.d/05-probe").symlink_to(ask)
    (folder / "root.d/answer").write_text("data of root\n")
    image_kit.pack("probed-system-pack", PROBED_SYSTEM.format(folder=str(folder)), {"probed-system": "Probed"})
    built = image_kit.build("probed-system", operating_system="", skip_base=True)
    answers = Answers.of(built.log)
    assert answers.phases() == ["root"]
    assert answers.get("root", "uid") == "0"
    assert answers.get("root", "outer-uid") != "0"
    assert answers.get("root", "target") == ""
    assert answers.get("root", "answer") == "data of root"
    assert built.exists("usr/bin/busybox")


def test_an_installation_in_a_hook_works_too(image_kit: ImageKit) -> None:
    image_kit.flavour("late", {"post-install.d/10-late": "#!/bin/sh\nset -eu\ntoypm install mail\n"})
    built = image_kit.build("late")
    assert built.packages["mail"] == "0.9"
    assert built.owner("var/spool/mail") == (8, 12)
    assert built.mode("usr/bin/deliver") == 0o4755


def test_sudo_to_another_user_really_changes_user(image_kit: ImageKit) -> None:
    image_kit.flavour("other", {"install.d/10-other": "#!/bin/sh\nset -eu\nsudo -u toy sh -c 'echo now $(id -un)'\n"})
    assert "now toy" in image_kit.build("other").log


def test_a_step_can_be_switched_off(image_kit: ImageKit) -> None:
    image_kit.flavour("two", {f"install.d/{name}": f"#!/bin/sh\necho this is {name}\n" for name in ("10-a", "20-b")})
    built = image_kit.build("two", skips=("two:install/10-a",))
    assert "this is 10-a" not in built.log
    assert "this is 20-b" in built.log
    assert any("install/10-a" in skipped for skipped in built.manifest["plan"]["skipped"])


def test_the_indexes_are_refreshed_behind_what_pre_install_names(image_kit: ImageKit) -> None:
    own = (
        "#!/bin/sh\nset -eu\nmkdir /srv\ncp -a /usr/lib/toypm/repository /srv/packages\ncd /srv/packages\n"
        "mkdir -p usr/share && echo new >usr/share/new && tar -cf new_1.0.tar usr/share/new\n"
        'echo "new 1.0 $(sha256sum new_1.0.tar | cut -d" " -f1)" >>index\n'
        "echo \"repository='/srv/packages'\" >>/etc/toypm.conf\n"
    )
    image_kit.flavour("sources", {"pre-install.d/50-sources": own, "flavour.toml": 'packages = ["new"]\n'})
    built = image_kit.build("sources")
    assert built.packages["new"] == "1.0"
    assert built.read("usr/share/new") == "new\n"


def test_a_flavour_of_ones_own_replaces_another_and_the_manifest_says_so(image_kit: ImageKit) -> None:
    image_kit.flavour("greeting", {"install.d/50-greet": "#!/bin/sh\necho theirs >/etc/motd\n"})
    own = image_kit.folder / "own"
    (own / "install.d").mkdir(parents=True)
    (own / "install.d/50-greet").write_text("#!/bin/sh\necho mine >/etc/motd\n")
    (own / "install.d/50-greet").chmod(0o755)
    built = image_kit.build("greeting", overrides=(("greeting", own),))
    assert built.read("etc/motd") == "mine\n"
    assert built.manifest["plan"]["overridden"] == [{"flavour": "greeting", "place": ""}]


def test_packages_named_by_the_user_join_the_transaction(image_kit: ImageKit) -> None:
    built = image_kit.build(packages=("mail", "hello"))
    assert {"mail", "hello", "greeting"} <= set(built.packages)
    assert built.log.count("installed kernel") == 1


def test_tracing_shows_what_scripts_do(image_kit: ImageKit) -> None:
    image_kit.flavour("traced", {"install.d/10-traced": "#!/bin/sh\ngreat=thing\n"})
    assert "+ great=thing" in image_kit.build("traced", trace=True).log
    assert "+ great=thing" not in image_kit.build("traced").log
