"""Each rule finds its mistake, at its place, with a fix; and a flavour without mistakes has no findings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from imagewright.checking import RULES, Level, checked
from imagewright.checking.contract import VARIABLES
from imagewright.types import Phase

README = "# mine\n\nWhat it is for.\n"
TOML = 'summary = "one line"\n'
GOOD = "#!/bin/sh\nset -eu\ntrue\n"
KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nx\n"
PGP_KEY = "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\nx\n"


def script(*lines: str) -> str:
    return "\n".join(["#!/bin/sh", "set -eu", *lines, ""])


def write(folder: Path, files: dict[str, str | tuple[str, int]]) -> Path:
    for name, given in {"README.md": README, "flavour.toml": TOML, **files}.items():
        content, mode = given if isinstance(given, tuple) else (given, 0o755 if given.startswith("#!") else 0o644)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
        path.chmod(mode)
    return folder


# rule, files, where it is found, what the message says, what the fix says
CASES = [
    ("does-not-load", {"flavour.toml": "summary = 3\n"}, "mine", "must be a string", ""),
    ("missing-readme", {"README.md": " \n"}, "mine/README.md", "no README", "what the flavour is for"),
    ("missing-summary", {"flavour.toml": ""}, "mine/flavour.toml", "no summary", "summary ="),
    ("missing-summary", {"flavour.toml": f'summary = "{"x" * 81}"'}, "mine/flavour.toml", "81 characters", "one line"),
    ("unknown-phase-folder", {"pre-finalize.d/10-a": GOOD}, "mine/pre-finalize.d", "no phase", "`finalise.d`"),
    ("unknown-phase-folder", {"finalize.d/10-a": GOOD}, "mine/finalize.d", "no phase", "call it `finalise.d`"),
    ("unknown-phase-folder", {"post_install.d/10-a": GOOD}, "mine/post_install.d", "", "call it `post-install.d`"),
    ("unknown-phase-folder", {"install/10-a": GOOD}, "mine/install", "no phase", "call it `install.d`"),
    ("unknown-phase-folder", {"environment.d/10-a": GOOD}, "mine/environment.d", "", "[parameters.NAME]"),
    ("unknown-phase-folder", {"packages.d/10-a": GOOD}, "mine/packages.d", "", "`packages = [...]`"),
    ("unread-file", {"element-deps": "dpkg\n"}, "mine/element-deps", "read by nobody", "`requires = [...]`"),
    ("unread-file", {"source-repository-x": "x\n"}, "mine/source-repository-x", "read by nobody", "by digest"),
    ("root-folder", {"root.d/10-a": GOOD}, "mine/root.d", "this is none", "provides"),
    ("execute-bit", {"install.d/10-a": (GOOD, 0o644)}, "mine/install.d/10-a", "", "chmod +x install.d/10-a"),
    ("skipped-name", {"install.d/10_A.sh": GOOD}, "mine/install.d/10_A.sh", "not NN-name", "call it `10-a`"),
    ("skipped-name", {"install.d/setup": GOOD}, "mine/install.d/setup", "not NN-name", "call it `50-setup`"),
    ("never-run", {"install.d/setup": (GOOD, 0o644)}, "mine/install.d/setup", "nothing runs", "call it `50-setup`"),
    ("leftover", {"install.d/10-a": GOOD, "install.d/a.orig": ""}, "mine/install.d/a.orig", "", "rm"),
    ("lost-mode", {"static/bin/x": ("", 0o4755)}, "mine/static/bin/x", "4755 will be 0755", "chmod 4755 /bin/x"),
    ("lost-mode", {"static/etc/sudoers.d/x": ("", 0o440)}, "mine/static/etc/sudoers.d/x", "0440 will be 0644", ""),
    (
        "no-link",
        {"static/etc/systemd/system/multi-user.target.wants/x.service": ""},
        "mine/static/etc/systemd/system/multi-user.target.wants/x.service",
        "no link",
        "ln -s ../x.service",
    ),
    ("private-key", {"static/root/.ssh/id": KEY}, "mine/static/root/.ssh/id", "private key", "type path"),
    ("private-key", {"acme.asc": PGP_KEY}, "mine/acme.asc", "private key", ""),
    ("flavour-toml", {"flavour.toml": "sumary = 'x'"}, "mine/flavour.toml", "`sumary`", "`summary`?"),
    ("flavour-toml", {"flavour.toml": "x = ["}, "mine/flavour.toml", "no TOML: ", "line"),
    (
        "flavour-toml",
        {"flavour.toml": TOML + "[parameters.word]\nhelp = 'x'\nsecrt = true"},
        "mine/flavour.toml",
        "`parameters.word.secrt`",
        "`parameters.word.secret`?",
    ),
    ("parameter-help", {"flavour.toml": TOML + "[parameters.word]"}, "mine/flavour.toml", "`word` has no help", ""),
    (
        "open-secret",
        {"flavour.toml": TOML + "[parameters.admin-password]\nhelp = 'x'"},
        "mine/flavour.toml",
        "`admin-password` sounds like a secret",
        "secret = true",
    ),
    (
        "interpreter-line",
        {"install.d/10-a": ("set -e\n", 0o755)},
        "mine/install.d/10-a:1",
        "no interpreter",
        "#!/bin/sh",
    ),
    ("interpreter-line", {"install.d/10-a": "#!sh\ntrue\n"}, "mine/install.d/10-a:1", "no absolute path", ""),
    ("line-ends", {"install.d/10-a": "#!/bin/sh\nset -e\r\n"}, "mine/install.d/10-a:2", "CR LF", "sed -i"),
    ("errors-ignored", {"install.d/10-a": "#!/bin/sh\ntrue\ntrue\n"}, "mine/install.d/10-a:1", "goes on", "set -eu"),
    (
        "service-start",
        {"install.d/10-a": script("systemctl restart ssh")},
        "mine/install.d/10-a:3",
        "`systemctl",
        "enable",
    ),
    ("service-start", {"install.d/10-a": script("systemctl enable --now ssh")}, "mine/install.d/10-a:3", "", ""),
    (
        "service-start",
        {"finalise.d/10-a": script("sudo service ssh start")},
        "mine/finalise.d/10-a:3",
        "`service ssh",
        "",
    ),
    ("service-start", {"install.d/10-a": script("/etc/init.d/ssh stop")}, "mine/install.d/10-a:3", "", ""),
    (
        "loop-device",
        {"block-device.d/10-a": script("losetup -f x")},
        "mine/block-device.d/10-a:3",
        "`losetup`",
        "sfdisk",
    ),
    (
        "loop-device",
        {"cleanup.d/10-a": script("mkfs.ext4 /dev/mapper/x")},
        "mine/cleanup.d/10-a:3",
        "/dev/mapper/x",
        "",
    ),
    ("loop-device", {"block-device.d/10-a": script("dd if=a of=/dev/loop0")}, "mine/block-device.d/10-a:3", "", ""),
    (
        "mount",
        {"cleanup.d/10-a": script("sudo mount -o bind a b")},
        "mine/cleanup.d/10-a:3",
        "`mount -o",
        "TARGET_ROOT",
    ),
    ("mount", {"install.d/10-a": script("mount -t proc proc /proc")}, "mine/install.d/10-a:3", "its own already", ""),
    (
        "running-kernel",
        {"install.d/10-a": script('depmod "$(uname -r)"')},
        "mine/install.d/10-a:3",
        "`uname -r`",
        "IMAGE_KERNEL",
    ),
    ("sudo-on-host", {"extra-data.d/10-a": script("sudo true")}, "mine/extra-data.d/10-a:3", "`sudo` makes nobody", ""),
    ("sudo-on-host", {"extra-data.d/10-a": script("su -c true")}, "mine/extra-data.d/10-a:3", "`su` asks", ""),
    (
        "host-home",
        {"cleanup.d/10-a": script("rm -rf /root/.cache")},
        "mine/cleanup.d/10-a:3",
        "/root/.cache",
        "$TARGET_ROOT",
    ),
    (
        "host-home",
        {"flavour.toml": TOML + "reads = ['~/x']", "extra-data.d/10-a": script('touch "$HOME/x"')},
        "mine/extra-data.d/10-a:3",
        "`$HOME/x`",
        "$TMP_HOOKS_PATH",
    ),
    (
        "host-path",
        {"cleanup.d/10-a": script("rm -f /etc/motd")},
        "mine/cleanup.d/10-a:3",
        "/etc/motd",
        '"$TARGET_ROOT/etc',
    ),
    ("host-path", {"cleanup.d/10-a": script("true >/etc/motd")}, "mine/cleanup.d/10-a:3", "/etc/motd", ""),
    ("host-path", {"cleanup.d/10-a": script("sed -i s/a/b/ /etc/motd")}, "mine/cleanup.d/10-a:3", "/etc/motd", ""),
    ("host-path", {"extra-data.d/10-a": script("cp a b /usr/local/c")}, "mine/extra-data.d/10-a:3", "/usr/local/c", ""),
    ("host-path", {"cleanup.d/10-a": script("chmod 600 /etc/shadow")}, "mine/cleanup.d/10-a:3", "/etc/shadow", ""),
    (
        "piped-download",
        {"install.d/10-a": script("curl -fsSL http://x | sudo sh -s")},
        "mine/install.d/10-a:3",
        "run unseen by sh",
        "sha256sum",
    ),
    (
        "unverified-download",
        {"install.d/10-a": script("wget http://x")},
        "mine/install.d/10-a:3",
        "nothing checks",
        "sha",
    ),
    (
        "package-manager-asks",
        {"install.d/10-a": script("apt-get install vim")},
        "mine/install.d/10-a:3",
        "nobody to answer",
        "apt-get -y",
    ),
    (
        "undeclared-variable",
        {"install.d/10-a": script('echo "$DIB_RELEASE"')},
        "mine/install.d/10-a:3",
        "nothing sets `DIB_RELEASE`",
        "here it is `RELEASE`",
    ),
    (
        "undeclared-variable",
        {"install.d/10-a": script('echo "$DIB_MYOPTION"')},
        "mine/install.d/10-a:3",
        "nothing sets `DIB_MYOPTION`",
        "[parameters.dib-myoption]",
    ),
    (
        "undeclared-variable",
        {"flavour.toml": TOML + "[parameters.greeting]\nhelp = 'x'", "install.d/10-a": script('echo "$GREETNG"')},
        "mine/install.d/10-a:3",
        "nothing sets `GREETNG`",
        "`GREETING`?",
    ),
    (
        "undeclared-variable",
        {"install.d/10-a": script('rm "$TARGET_ROOT/x"')},
        "mine/install.d/10-a:3",
        "not set in install",
        "root, cleanup, block-device",
    ),
    (
        "undeclared-variable",
        {
            "flavour.toml": TOML + "[parameters.token]\nhelp = 'x'\nsecret = true",
            "first-boot.d/10-a": script('echo "$TOKEN"'),
        },
        "mine/first-boot.d/10-a:3",
        "`TOKEN` is a secret",
        "metadata",
    ),
    (
        "undeclared-variable",
        {"install.d/10-a": "#!/usr/bin/env python3\nimport os\nprint(os.environ['FOO'])\n"},
        "mine/install.d/10-a:3",
        "`FOO`",
        "",
    ),
    (
        "undeclared-reading",
        {"extra-data.d/10-a": script('cat "$HOME/x"')},
        "mine/extra-data.d/10-a:3",
        "home",
        "reads =",
    ),
    ("undeclared-reading", {"extra-data.d/10-a": script("cat ~/x")}, "mine/extra-data.d/10-a:3", "home", "reads ="),
    (
        "shellcheck",
        {"install.d/10-a": script("x=$*", 'echo "$x" "${y[0]}"')},
        "mine/install.d/10-a:4",
        "SC",
        "disable=SC",
    ),
]


@pytest.mark.parametrize(("rule", "files", "place", "message", "fix"), CASES)
def test_a_mistake_is_found_at_its_place(tmp_path, monkeypatch, rule, files, place, message, fix):
    if rule == "shellcheck" and not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine", files)
    found = [finding for finding in checked(["mine/"]).findings if finding.rule == rule]
    assert [finding.place.replace("//", "/").rstrip("/") for finding in found[:1]] == [place]
    assert message in found[0].message
    assert fix in found[0].fix
    assert found[0].reason
    assert found[0].fix


PACKS = {
    "pack-readme": ("[project]\nname = 'x'\ndependencies = ['imagewright>=0.1']", "names no readme"),
    "pack-dependency": ("[project]\nname = 'x'\ndependencies = ['imagewright-more']", "does not depend"),
    "pack-tests": ("[project]\nname = 'x'", "contract's tests"),
}


@pytest.mark.parametrize("rule", PACKS)
def test_a_mistake_of_a_pack_is_found(tmp_path, rule):
    project, message = PACKS[rule]
    points = '\n[project.entry-points."imagewright.flavours"]\nmine-of-packs = "rules_test_pack:Mine"\n'
    (tmp_path / "pyproject.toml").write_text(project + points)
    (tmp_path / "rules_test_pack.py").write_text("from imagewright.api import Flavour\nclass Mine(Flavour): 'Mine.'\n")
    found = [finding for finding in checked([str(tmp_path)]).findings if finding.rule == rule]
    assert [finding.subject for finding in found] == ["x"]
    assert message in found[0].message


def test_a_folder_whose_name_is_none_of_a_flavour_is_found(tmp_path):
    write(tmp_path / "My.Flavour", {})
    found = {finding.rule: finding.fix for finding in checked([str(tmp_path / "My.Flavour")]).findings}
    assert found["flavour-name"] == "call it `my-flavour`"


def test_a_class_that_names_no_contract_is_found(shelf):
    body = "'What it is for.'\n    summary = 'own'\n"
    shelf.pack("checked-silent", {"silent": "Own"}, f"class Own(Flavour):\n    {body}")
    (finding,) = checked(["silent"], shelf.paths).findings
    assert (finding.rule, finding.level) == ("contract-version", Level.WARNING)
    assert finding.fix == "api_version = 1 in the class"
    shelf.pack("checked-saying", {"saying": "Own"}, f"class Own(Flavour):\n    {body}    api_version = 1\n")
    assert checked(["saying"], shelf.paths).findings == ()


def test_every_rule_has_a_case():
    tried = {case[0] for case in CASES} | set(PACKS) | {"flavour-name", "contract-version"}
    assert tried == {rule.name for rule in RULES}


def test_no_two_rules_have_one_name():
    assert len({rule.name for rule in RULES}) == len(RULES)


CLEAN = {
    "flavour.toml": (
        'summary = "all in order"\nreads = ["~/.config/mine"]\n[parameters.word]\nhelp = "a word"\n'
        '[parameters.password]\nhelp = "a secret"\nsecret = true\n'
    ),
    "block-device-size.d/10-a": script("echo IMAGE_SIZE=$((IMAGE_SIZE + 1))"),
    "extra-data.d/10-a": script('cp "$HOME/.config/mine" "$TMP_HOOKS_PATH/mine" 2>/dev/null || true'),
    "install.d/10-a": script(
        '. "$_LIB/die"',
        '[ -n "$WORD" ] || die "no word"',
        'echo "$MINE_WORD" "${TARGET_ROOT:-}" >/etc/mine',
        "systemctl enable mine",
        "mount --bind /a /b",
        'sudo apt-get -y install "linux-headers-$IMAGE_KERNEL"',
        'for ITEM in a b; do cp "$(dirname "$0")/$ITEM" /etc/; done',
        "awk '{ print $NF, $FOO }' /etc/mine",
        'curl -fsS -o /tmp/x http://x && sha256sum -c "$(dirname "$0")/sums"',
        'case $1 in sudo | losetup) echo "uname -r" ;; esac',
    ),
    "install.d/sums": "0 x\n",
    "install.d/20-b": script('. "$(dirname "$0")/settings"', 'echo "$FROM_THERE"'),
    "install.d/settings": "FROM_THERE=1\n",
    "install.d/30-c": script(". /etc/os-release", 'echo "$VERSION_ID"'),
    "cleanup.d/10-a": script('rm -rf "$TARGET_ROOT"/root/.cache', 'cd "$TARGET_ROOT" && rm -f etc/x >/dev/null'),
    "block-device.d/10-a": script('sfdisk "$IMAGE_BLOCK_DEVICE" <<END', "start=1", "END", "echo IMAGE_BLOCK_DEVICE=x"),
    "first-boot.d/10-a": script('systemctl restart ssh && uname -r && echo "$WORD" >/root/note'),
    "init": 'echo "$BOOT_METHOD"\n',
    "static/etc/mine.conf": "x\n",
}


def test_a_flavour_without_mistakes_has_no_findings(tmp_path):
    report = checked([str(write(tmp_path / "mine", CLEAN))])
    assert report.findings == ()
    assert report.flavours == ("mine",)


def test_a_line_may_say_that_a_rule_does_not_matter_there(tmp_path):
    text = script(
        "# imagewright: ignore=host-path", "rm -f /etc/a", "rm -f /etc/b # imagewright: ignore=mount,host-path"
    )
    assert checked([str(write(tmp_path / "mine", {"cleanup.d/10-a": text}))]).findings == ()
    other = text.replace("host-path", "host-home")
    assert len(checked([str(write(tmp_path / "other", {"cleanup.d/10-a": other}))]).findings) == 2


def test_scripts_that_a_class_makes_are_checked_too(shelf):
    source = """
        class Own(Flavour):
            "What it is for."
            api_version = 1
            summary = "own"
            @hookimpl
            def cleanup(self, ctx): return [Step(id="10-a", action=Script(content=b"#!/bin/sh\\nrm -f /etc/x\\n"))]
    """
    shelf.pack("checked-own", {"own": "Own"}, source)
    (finding,) = checked(["own"], shelf.paths).findings
    assert (finding.rule, finding.line) == ("host-path", 2)
    assert finding.file.endswith("cleanup.d/10-a")


def test_a_pack_that_does_not_load_is_one_finding(shelf):
    shelf.pack("checked-broken", {"own": "Own"}, "import no_such_module_at_all")
    (finding,) = checked(["own"], shelf.paths).findings
    assert finding.rule == "does-not-load"
    assert "no_such_module_at_all" in finding.message


def test_warnings_are_no_errors(tmp_path):
    report = checked([str(write(tmp_path / "mine", {"install.d/10-a": script("wget http://x")}))])
    assert [finding.level for finding in report.findings] == [Level.WARNING]
    assert (report.errors, report.warnings) == (0, 1)


def test_every_variable_of_the_contract_is_set_in_some_phase():
    assert all(any(variable.in_phase(phase) for phase in Phase) for variable in VARIABLES)
    names = [variable.name for variable in VARIABLES]
    assert len(names) == len(set(names))
