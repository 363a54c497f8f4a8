"""The blank slate: what no image may hold, who brought it, and who may allow it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagewright.blankslate.rules import NAMES
from imagewright.errors import ContractError, StepFailed
from imagewright.testing.kit import ImageKit
from imagewright.testing.ramdisks import unpacked

from .layers_kit import artefacts_cached, forget_images, layers, ran

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEpt somebody"

LEFT = r"""
put() {
    mkdir -p "$(dirname "./$1")"
    printf '%s\n' "$2" >"./$1"
}
put etc/ssh/ssh_host_ed25519_key secret
put etc/machine-id 0123456789abcdef0123456789abcdef
put var/lib/systemd/random-seed xxxx
put var/lib/dhcp/dhclient.leases 'lease { }'
put var/log/dpkg.log installed
put root/.bash_history 'cat /etc/shadow'
put etc/resolv.conf 'nameserver 192.0.2.53'
put etc/environment "http_proxy=$http_proxy"
put var/lib/apt/lists/archive_Packages 'Package: x'
put var/cache/toypm/kernel.tar x
put var/lib/cloud/instance/user-data.txt x
put home/toy/.ssh/authorized_keys 'KEY'
put home/toy/.ssh/id_ed25519 '-----BEGIN OPENSSH PRIVATE KEY-----'
put etc/udev/rules.d/70-persistent-net.rules 'SUBSYSTEM=="net", NAME="eth0"'
put etc/iscsi/initiatorname.iscsi 'InitiatorName=iqn.2004-10.example:01'
put etc/built.conf 'cache = CACHE/downloads'
put etc/hosts '127.0.1.1 HOST'
put boot/grub/grub.cfg "search --fs-uuid $(cat /proc/sys/kernel/random/boot_id)"
"""
"""A script that leaves something for every rule, in a tree of the toy operating system."""

PROXY = "http://user:s3cret@proxy.example:3128"


def step(text: str, name: str = "cleanup.d/90-do") -> dict[str, str]:
    return {name: f'#!/bin/sh\nset -eu\ncd "$TARGET_ROOT"\n{text}\n'}


def leaving(kit: ImageKit) -> dict[str, str]:
    text = LEFT.replace("KEY'", f"{KEY}'").replace("CACHE", str(kit.cache)).replace("HOST", socket.gethostname())
    return step(text, "cleanup.d/95-do")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ImageKit, StepFailed]]:
    """A build that leaves everything, and what it was told."""
    folder = tmp_path_factory.mktemp("refused")
    with ImageKit.open(folder / "kit", shared=folder / "shared") as kit:
        kit.flavour("slovenly", leaving(kit))
        error = kit.fails("slovenly", kind=StepFailed, environment={"http_proxy": PROXY})
        assert isinstance(error, StepFailed)
        yield kit, error


def rules_of(error: StepFailed) -> list[str]:
    return re.findall(r"^/.* \(([a-z-]+)\)(?:, from|$)", "\n".join(error.where), re.MULTILINE)


def test_every_rule_finds_what_a_flavour_leaves_and_one_message_says_all_of_it(
    refused: tuple[ImageKit, StepFailed],
) -> None:
    _kit, error = refused
    # what serves the build is taken out of a step's layer before anybody looks
    expected = set(NAMES) - {"build-files"}
    # a machine may well be called as something of the image's
    if socket.gethostname().lower().partition(".")[0] in ("localhost", "toy", "slovenly", "image"):
        expected.discard("host-name")
    assert set(rules_of(error)) == expected
    assert error.reference == "not-a-blank-slate"


def test_the_message_names_the_path_the_step_the_flavour_and_the_way_out(
    refused: tuple[ImageKit, StepFailed],
) -> None:
    _kit, error = refused
    line = next(line for line in error.where if line.startswith("/etc/machine-id"))
    assert line == f"/etc/machine-id names one machine (machine-id), from cleanup/95-do of {origin(refused)}"
    assert '"machine-id"' in error.hint
    assert "--allow ssh-host-keys --allow machine-id" in error.hint


def origin(refused: tuple[ImageKit, StepFailed]) -> str:
    return f"slovenly ({refused[0].flavours / 'slovenly'})"


def test_the_proxy_in_the_message_has_no_password(refused: tuple[ImageKit, StepFailed]) -> None:
    _kit, error = refused
    assert "proxy.example:3128 (proxy)" in str(error)
    assert "s3cret" not in str(error)


def test_what_a_user_allows_by_name_passes_and_is_in_the_manifest(image_kit: ImageKit) -> None:
    image_kit.flavour("logging", step("echo built >var/log/build.log\necho 0123 >etc/machine-id"))
    assert rules_of(image_kit.fails("logging", kind=StepFailed, allow=("logs",))) == ["machine-id"]  # type: ignore[arg-type]
    built = image_kit.build("logging", allow=("logs", "machine-id"))
    assert built.manifest["blank_slate"] == {
        "checked": list(NAMES),
        "allowed": [
            {"rule": "machine-id", "path": "/etc/machine-id", "by": "--allow"},
            {"rule": "logs", "path": "/var/log/build.log", "by": "--allow"},
        ],
    }


def test_the_command_takes_rules_by_flag_and_by_variable_and_knows_the_nearest_name(image_kit: ImageKit) -> None:
    image_kit.flavour("logging", step("echo built >var/log/build.log\necho 0123 >etc/machine-id"))
    words = ("--skip-base", "-t", "tar", "--progress", "none", "-o", "x", "toy", "logging")
    image_kit.command("disk-image-create", "--allow", "logs", "--allow", "machine-id", *words)
    image_kit.command("disk-image-create", *words, IMAGEWRIGHT_ALLOW="logs,machine-id")
    wrong = image_kit.command("disk-image-create", "--allow", "machineid", *words, check=False)
    assert wrong.returncode == 2
    assert "did you mean `machine-id`?" in wrong.stderr


def test_a_flavour_answers_for_what_it_brings_itself_and_for_no_others(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "keys",
        {
            "install.d/50-keys": f"#!/bin/sh\nmkdir -p /root/.ssh\necho '{KEY}' >/root/.ssh/authorized_keys\n",
            "flavour.toml": 'allows = ["authorized-keys"]\n',
        },
    )
    built = image_kit.build("keys")
    allowed = [{"rule": "authorized-keys", "path": "/root/.ssh/authorized_keys", "by": "keys"}]
    assert built.manifest["blank_slate"]["allowed"] == allowed
    plan = {flavour["name"]: flavour["allows"] for flavour in built.manifest["plan"]["flavours"]}
    assert plan["keys"] == ["authorized-keys"]
    theirs = f"#!/bin/sh\nmkdir -p /home/toy/.ssh\necho '{KEY}' >/home/toy/.ssh/authorized_keys\n"
    image_kit.flavour("stranger", {"install.d/60-stranger": theirs})
    error = image_kit.fails("keys", "stranger", kind=StepFailed)
    assert [line for line in error.where if "authorized" in line] == [
        "/home/toy/.ssh/authorized_keys lets the owner of a key log in "
        f"(authorized-keys), from install/60-stranger of stranger ({image_kit.flavours / 'stranger'})"
    ]


def test_a_flavour_answers_for_what_the_first_tree_brings(image_kit: ImageKit) -> None:
    image_kit.flavour("system", {"flavour.toml": 'provides = ["operating-system"]\n', "root.d/10-root": ROOT})
    image_kit.flavour("wanting", {"flavour.toml": 'allows = ["logs"]\n'})
    built = image_kit.build("wanting", operating_system="system", skip_base=True, fresh=True)
    assert built.manifest["blank_slate"]["allowed"] == [{"rule": "logs", "path": "/var/log/base", "by": "wanting"}]
    error = image_kit.fails(operating_system="system", skip_base=True, fresh=True, kind=StepFailed)
    assert "from root/10-root of system" in str(error)


ROOT = '#!/bin/sh\nset -eu\nmkdir -p "$TARGET_ROOT/var/log"\necho made >"$TARGET_ROOT/var/log/base"\n'


def test_a_rule_that_is_none_is_a_fault_of_the_flavour(image_kit: ImageKit) -> None:
    image_kit.flavour("wrong", {"flavour.toml": 'allows = ["log"]\n'})
    error = image_kit.fails("wrong", kind=ContractError)
    assert (error.reference, error.hint) == ("unknown-slate-rule", "did you mean `logs`?")


def test_a_host_key_behind_an_absolute_link_is_found(image_kit: ImageKit) -> None:
    image_kit.flavour("tied", step("mkdir -p opt/ssh\necho secret >opt/ssh/ssh_host_rsa_key\nln -s /opt/ssh etc/ssh"))
    error = image_kit.fails("tied", kind=StepFailed, match="/etc/ssh/ssh_host_rsa_key is a host key")
    assert "from cleanup/90-do of tied" in str(error)


def test_what_the_host_has_behind_an_absolute_link_is_not_the_images(image_kit: ImageKit, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "ssh_host_rsa_key").write_text("the host's")
    (tmp_path / "shadow").write_text("stranger::1::::::\n")
    image_kit.flavour("led-astray", step(f"ln -s {tmp_path} etc/ssh\nln -sf {tmp_path}/shadow etc/shadow"))
    built = image_kit.build("led-astray")
    assert "stranger" not in built.log


def test_what_was_found_in_a_kept_tree_is_kept_with_it_and_judged_anew(image_kit: ImageKit) -> None:
    image_kit.flavour("logging", step("echo built >var/log/build.log"))
    image_kit.fails("logging", kind=StepFailed)
    note = layers(image_kit)["cleanup/90-toypm"] / "slate.json"
    assert json.loads(note.read_text())["found"][0]["path"] == "/var/log/build.log"
    # from the note: a build that finds all its layers does not look again
    document = json.loads(note.read_text())
    document["found"][0]["path"] = "/var/log/from-the-note"
    note.write_text(json.dumps(document))
    error = image_kit.fails("logging", kind=StepFailed)
    assert "/var/log/from-the-note" in str(error)
    allowed = image_kit.build("logging", allow=("logs",))
    assert ran(allowed) == []
    assert allowed.manifest["blank_slate"]["allowed"][0]["path"] == "/var/log/from-the-note"
    # neither a note of another tree nor a broken one is taken
    note.write_text('{"key": "another", "found": []}')
    forget_images(image_kit)
    assert "/var/log/build.log" in str(image_kit.fails("logging", kind=StepFailed))


def test_an_image_that_was_allowed_once_is_not_taken_for_one_that_passed(image_kit: ImageKit) -> None:
    image_kit.flavour("logging", step("echo built >var/log/build.log"))
    first = image_kit.build("logging", allow=("logs",))
    assert not artefacts_cached(first)
    assert artefacts_cached(image_kit.build("logging", allow=("logs",)))
    image_kit.fails("logging", kind=StepFailed)


def test_a_ramdisk_is_looked_through_too(image_kit: ImageKit) -> None:
    files = {
        "init": "message hello\n",
        "files/etc/ssh/ssh_host_rsa_key": "secret\n",
        "files/etc/built": image_kit.cache,
    }
    image_kit.flavour("careless", {path: str(content) for path, content in files.items()})
    words = ("--progress", "none", "-o", "x.ramdisk", "toy", "careless")
    done = image_kit.command("ramdisk-image-create", *words, check=False)
    assert done.returncode == 1
    assert "/etc/ssh/ssh_host_rsa_key is a host key (ssh-host-keys), from careless" in done.stderr
    assert f"/etc/built names a path of the builder's machine: {image_kit.cache} (host-paths" in done.stderr
    assert not (image_kit.output / "x.ramdisk").exists()
    image_kit.flavour("careless", {"flavour.toml": 'allows = ["ssh-host-keys", "host-paths"]\n'})
    image_kit.command("ramdisk-image-create", *words)
    manifest = json.loads((image_kit.output / "x.manifest.json").read_text())
    assert [one["by"] for one in manifest["blank_slate"]["allowed"]] == ["careless", "careless"]
    assert "etc/ssh/ssh_host_rsa_key" in [node.path for node in unpacked((image_kit.output / "x.ramdisk").read_bytes())]


def test_an_open_account_behind_an_absolute_link_is_said(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "open", step("mkdir -p opt\nprintf 'gu\\377st::1::::::\\n' >opt/shadow\nln -sf /opt/shadow etc/shadow")
    )
    assert "logs in without a password" in image_kit.build("open").log


def test_a_release_candidate_is_older_than_its_release(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "kernels", step("mkdir -p lib/modules/6.8.0-rc3-amd64 lib/modules/6.8.0-amd64 lib/modules/6.7.12-amd64")
    )
    assert image_kit.build("kernels").manifest["kernel"] == "6.8.0-amd64"
