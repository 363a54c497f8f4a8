"""What the fixture of the testing kit gives to the tests of packs, on a real image."""

from __future__ import annotations

import pytest
from boots_kit.lab import Lab
from imagewright.testing.booting import Booter


def test_a_packs_test_boots_an_image_and_asks_it_over_ssh(lab: Lab, image_boot: Booter) -> None:
    before = lab.image.stat()
    booted = image_boot(lab.image, timeout=lab.patience)
    assert booted.check("id -un").strip() == "debian"
    assert "ID=debian" in booted.check("cat /etc/os-release")
    assert booted.run("exit 3").status == 3
    with pytest.raises(AssertionError, match=r"ended with status 4:\nwords of the machine"):
        booted.check("echo words of the machine; exit 4")
    after = lab.image.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
