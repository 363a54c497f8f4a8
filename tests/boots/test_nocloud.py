"""Boots 1 and 2: two lives of one disk."""

from __future__ import annotations

from boots_kit.lab import GROWTH, Lab, Life

SCRIPTS = ["10-first", "20-second", "30-fails-once", "40-last"]


def test_a_fresh_key_from_the_seed_logs_in(lab: Lab, first_life: Life) -> None:
    assert first_life.facts["login_seconds"] < lab.patience
    assert first_life.seen["cloud"] == "nocloud"
    assert first_life.seen["hostname"] == "fails-once"
    assert not first_life.seen["uefi"]


def test_password_logins_are_refused_and_no_account_has_a_password(first_life: Life) -> None:
    assert first_life.facts["methods"] == ("publickey",)
    assert first_life.facts["root_methods"] == ("publickey",)
    assert first_life.seen["usable_passwords"] == []


def test_the_root_filesystem_fills_the_larger_disk(lab: Lab, first_life: Life) -> None:
    # Less its own tables and the partitions before it.
    assert first_life.seen["root_size"] > 0.9 * (lab.size + GROWTH)


def test_first_boot_scripts_run_in_order_after_metadata_up_to_one_that_fails(first_life: Life) -> None:
    assert first_life.seen["ran"] == [f"{name} on fails-once" for name in SCRIPTS[:3]]
    assert first_life.seen["stamps"] == SCRIPTS[:2]


def test_a_first_boot_script_finds_its_data_file_and_variables(first_life: Life) -> None:
    assert first_life.seen["note"] == "a data file beside the scripts"
    variables = dict(word.split("=") for word in first_life.seen["environment"].split())
    assert variables["arch"] == "amd64"
    assert variables["release"]
    assert variables["image"]


def test_the_console_names_the_failed_script_and_its_log(first_life: Life) -> None:
    (line,) = {line for line in first_life.console.splitlines() if "30-fails-once" in line and "log" in line}
    assert "7" in line
    assert "/var/log/" in line


def test_nothing_but_the_failed_first_boot_scripts_is_wrong(first_life: Life) -> None:
    assert first_life.seen["failed"] == ["imagewright-first-boot.service"], first_life.seen["why"]


def test_the_hosts_file_names_the_machine(first_life: Life) -> None:
    assert "fails-once" in first_life.seen["hosts"]


def test_a_new_instance_takes_the_new_key_and_refuses_the_old_one(second_life: Life) -> None:
    assert second_life.facts["old_key_refused"]


def test_a_new_instance_has_its_new_name(second_life: Life) -> None:
    assert second_life.seen["hostname"] == "second-life"
    assert "second-life" in second_life.seen["hosts"]


def test_the_next_boot_retries_the_failed_script_and_goes_on_without_repeating_others(second_life: Life) -> None:
    assert second_life.seen["ran"] == [
        *(f"{name} on fails-once" for name in SCRIPTS[:3]),
        *(f"{name} on second-life" for name in SCRIPTS[2:]),
    ]
    assert second_life.seen["stamps"] == SCRIPTS


def test_the_second_life_is_running_and_not_degraded(second_life: Life) -> None:
    assert second_life.seen["state"] == "running", second_life.seen["why"]


def test_the_served_host_keys_are_those_of_the_disk(first_life: Life) -> None:
    assert first_life.facts["served_keys"]
    assert first_life.facts["served_keys"] <= set(first_life.seen["host_keys"])
