"""Network cards and addresses; the whole /init brings cards up in a network of its own (test_whole)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("written", ["52:54:00:ab:cd:ef", "52-54-00-AB-CD-EF", "52:54:00:AB:cd:ef"])
def test_a_card_is_found_by_its_address_however_it_is_written(shell, written):
    shell.file("sys/class/net/eth0/address", "52:54:00:00:00:01\n")
    shell.file("sys/class/net/eth1/address", "52:54:00:ab:cd:ef\n")
    assert shell.ask(f"find_interface {written}") == "eth1"


def test_a_card_comes_before_a_bridge_that_borrows_its_address(shell):
    for name in ("br0", "eth0"):
        shell.file(f"sys/class/net/{name}/address", "52:54:00:ab:cd:ef\n")
    shell.file("sys/class/net/eth0/device/vendor")
    assert shell.ask("find_interface 52:54:00:ab:cd:ef") == "eth0"


@pytest.mark.parametrize("written", ["''", "52:54:00:ab:cd:e0", "'*'"])
def test_an_address_of_no_card_has_status_1(shell, written):
    shell.file("sys/class/net/eth0/address", "52:54:00:ab:cd:ef\n")
    ran = shell.run(f"find_interface {written}")
    assert (ran.status, ran.output) == (1, "")


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("01-52-54-00-AB-CD-EF", "52:54:00:ab:cd:ef"),
        ("52:54:00:ab:cd:ef", "52:54:00:ab:cd:ef"),
        ("eth0", ""),
        ("", ""),
        ("52-54-00-ab-cd", ""),
        ("$(touch x)", ""),
    ],
)
def test_bootif_is_the_address_without_the_kind_of_hardware(shell, value, address):
    assert shell.ask('init_boot_mac "$VALUE"', VALUE=value) == address


FULL = "10.0.0.2:10.0.0.1::255.255.255.0:name:eth1:off:1.1.1.1"


@pytest.mark.parametrize(
    ("field", "value"), [(1, "10.0.0.2"), (2, "10.0.0.1"), (3, ""), (4, "255.255.255.0"), (6, "eth1"), (9, "")]
)
def test_fields_of_the_kernels_fuller_form_are_in_their_places(shell, field, value):
    assert shell.ask(f"init_colon_field {field} {FULL}") == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.ip_addresses(v=4).map(str), st.from_regex(r"[0-9.:a*]{0,14}", fullmatch=True)))
def test_an_address_is_what_the_standard_takes_for_one(shell, text):
    try:
        valid = ipaddress.IPv4Address(text) is not None
    except ValueError:
        valid = False
    assert shell.run('is_ip_address "$TEXT"', variables={"TEXT": text}).status == (0 if valid else 1)


@pytest.mark.parametrize(
    ("address", "mask"), [("10.1.2.3", "255.0.0.0"), ("172.16.0.1", "255.255.0.0"), ("192.168.1.1", "255.255.255.0")]
)
def test_an_address_without_a_mask_has_that_of_its_class_as_for_the_kernel(shell, address, mask):
    assert shell.ask(f"init_netmask {address}") == mask
