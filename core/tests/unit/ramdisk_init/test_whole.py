"""The whole /init, as process 1 of namespaces of its own: how it starts, fails and ends."""

from __future__ import annotations

import json
import subprocess

import pytest
from imagewright.ramdisk import initscript
from imagewright.testing.initkit import STATIC


def test_the_joined_script_passes_shellcheck_and_busybox_can_read_it(tmp_path):
    script = tmp_path / "init"
    fragment = initscript.Fragment(flavour="x", content="true")
    script.write_text(initscript.joined(initscript.shipped(), [fragment], {"INIT_TIMEOUT": "300"}))
    # SC2034: what only fragments read
    for argv in (["shellcheck", "--severity=style", "--exclude=SC2034", script], ["busybox", "sh", "-n", script]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_fragment_is_named_as_it_starts_and_the_machine_starts_again_in_the_end(init_kit):
    life = init_kit.live({"one": "echo from $INIT_FLAVOUR", "two": "echo from $INIT_FLAVOUR"})
    said = [line for line in life.console.splitlines() if "from" in line or "starts" in line]
    assert said == ["imagewright: one: starts", "from one", "imagewright: two: starts", "from two"]
    assert life.console.splitlines()[-2:] == ["imagewright: all done", "imagewright: reboot"]
    assert life.end == "reboot"


def test_a_ramdisk_without_udev_and_modules_says_so_and_goes_on(init_kit):
    life = init_kit.live({"one": "true"})
    assert "imagewright: this ramdisk has neither udev nor modules of the kernel " in life.console
    assert "all done" in life.console


def test_the_machine_is_switched_off_where_the_command_line_says_so(init_kit):
    assert init_kit.live({"one": "true"}, "ip=off end=poweroff").end == "poweroff"


def test_an_end_that_there_is_not_is_named_and_the_machine_starts_again(init_kit):
    life = init_kit.live({"one": "true"}, "ip=off end=halt")
    assert "end=halt is neither reboot nor poweroff" in life.console
    assert life.end == "reboot"


def test_fragments_are_one_shell_and_leave_each_other_no_options(init_kit):
    life = init_kit.live(
        {
            "one": """
                kept=value
                helper() { echo "helped $1"; }
                set +e -ufx; IFS=,; cd /tmp; umask 077
                trap 'echo mine' EXIT TERM
            """,
            "two": """
                set +x
                helper "$kept"
                echo "$- $(umask) $PWD [${unset-}]"; set -- /pro*; echo "$1"
                words="a b"; for word in $words; do echo "word $word"; done
            """,
        }
    )
    lines = life.console.splitlines()
    assert "helped value" in lines
    options = next(line for line in lines if line.endswith("0022 / []"))
    assert set(options.split()[0]) & set("uf") == set()
    assert "e" in options.split()[0]
    assert {"/proc", "word a", "word b"} <= set(lines)
    assert "mine" not in lines


def test_a_command_that_fails_is_named_with_its_flavour_and_line_and_reported(init_kit):
    life = init_kit.live({"one": "true", "two": "true\n\nls /nowhere\ntrue"}, STATIC, server="http")
    assert "imagewright: two: FAILED: line 3 ended with status 1: ls /nowhere" in life.console
    assert life.end == "reboot"
    (report,) = life.documents("/report")
    assert (report["state"], report["flavour"], report["status"], report["line"]) == ("failed", "two", 1, 3)
    assert report["command"] == "ls /nowhere"
    assert report["machine"]["address"] == "10.9.0.2"
    assert life.posts[0]["type"] == "application/json"


def test_what_follows_a_failure_does_not_run(init_kit):
    life = init_kit.live({"one": "false\necho later", "two": "echo later"})
    assert "later" not in life.console


def test_a_fragment_may_say_in_its_own_words_why_it_fails_also_from_a_subshell(init_kit):
    life = init_kit.live({"one": 'found=$(fail "no disk \\"a\\" to write to")'}, STATIC, server="http")
    assert 'imagewright: one: FAILED: no disk "a" to write to' in life.console
    assert life.documents("/report")[0]["message"] == 'no disk "a" to write to'


def test_a_failure_waits_for_the_init_timeout_which_the_command_line_may_set(init_kit):
    life = init_kit.live({"one": "false"}, "ip=off init_timeout=0", timeout=3600)
    assert "the machine starts again in 0 seconds" in life.console
    assert life.end == "reboot"


def test_a_failure_opens_a_shell_where_the_command_line_asks_for_one(init_kit):
    life = init_kit.live({"one": "false"}, "ip=off troubleshoot", timeout=3600, typed="echo six $((2 * 3))\nexit\n")
    assert "a shell, as troubleshoot asks for" in life.console
    assert "\nsix 6\n" in life.console
    assert life.end == "reboot"


def test_a_fragment_that_leaves_with_success_ends_everything_and_is_named(init_kit):
    life = init_kit.live({"one": "exit 0", "two": "echo later"})
    assert "imagewright: one: left /init with status 0; nothing after it runs" in life.console
    assert "later" not in life.console
    assert life.end == "reboot"


def test_the_end_is_reported_to_the_url_of_the_command_line(init_kit):
    life = init_kit.live({"one": "true"}, f"{STATIC} report_url=http://10.9.0.1:10000/here?a=b", server="http")
    (report,) = life.documents("/here?a=b")
    assert (report["kind"], report["state"]) == ("report", "done")


def test_a_server_that_does_not_take_reports_changes_nothing(init_kit):
    life = init_kit.live({"one": "true"}, STATIC, server="http", answer=500)
    assert "the report to http://10.9.0.1:10000/report failed" in life.console
    assert life.end == "reboot"


def test_the_variables_that_fragments_read_are_those_of_the_command_line(init_kit):
    line = f'{STATIC} deployment_id=7 deployment_key="a b" iscsi_target_iqn=iqn.2012-11.org:x disk=nowhere,elsewhere'
    life = init_kit.live(
        {"one": 'echo "$BOOT_IP_ADDRESS $BOOT_SERVER $BOOT_NETMASK $BOOT_INTERFACE"\n'
                'echo "$DEPLOYMENT_ID,$DEPLOYMENT_KEY,$ISCSI_TARGET_IQN,$DISK"\nip addr show dev veth0'},
        line,
    )  # fmt: skip
    assert "10.9.0.2 10.9.0.1 255.255.255.0 veth0" in life.console
    assert "7,a b,iqn.2012-11.org:x,nowhere,elsewhere" in life.console
    assert "inet 10.9.0.2/24" in life.console


def test_the_address_comes_by_dhcp_and_what_the_server_says_is_data(init_kit):
    life = init_kit.live(
        {"one": 'echo "$BOOT_IP_ADDRESS $BOOT_SERVER $BOOT_NETMASK"; ip route; [ ! -e /injected ]'},
        "ip=:::::veth0:dhcp",
        dhcp=True,
    )
    assert "10.9.0.20 10.9.0.1 255.255.255.0" in life.console
    assert "default via 10.9.0.1" in life.console
    assert life.end == "reboot"
    assert "all done" in life.console


@pytest.mark.parametrize("value", ["off", "none"])
def test_the_network_stays_off_where_the_command_line_says_so(init_kit, value):
    life = init_kit.live({"one": 'echo "address [$BOOT_IP_ADDRESS]"'}, f"ip={value}")
    assert "the network stays off" in life.console
    assert "address []" in life.console


def test_hostile_values_of_the_command_line_are_data_everywhere(init_kit):
    hostile = "$(touch${IFS}/injected);`touch${IFS}/injected`;'\\*|&"
    names = ("ip", "BOOTIF", "disk", "deployment_id", "report_url", "end", "init_timeout", "boot_server_url")
    line = f"{STATIC} " + " ".join(f"{name}={hostile}" for name in names)
    life = init_kit.live({"one": "[ ! -e /injected ]; echo untouched"}, line)
    assert "untouched" in life.console
    assert life.end == "reboot"


def test_a_published_document_stands_between_its_markers_and_is_posted(init_kit):
    text = """
        put_text name "a
        b" | to_json >/run/document
        publish THING http://10.9.0.1:10000/thing /run/document wanted
    """
    life = init_kit.live({"one": text}, STATIC, server="http")
    _, _, rest = life.console.partition("-----BEGIN IMAGEWRIGHT THING-----\n")
    assert json.loads(rest.partition("-----END IMAGEWRIGHT THING-----")[0])["name"].split() == ["a", "b"]
    assert len(life.documents("/thing")) == 1
