"""What the pack promises, as far as a plan shows it; tests/boots hands a machine over to a real server."""

from __future__ import annotations

import os
import subprocess
from importlib import resources
from pathlib import Path

from imagewright.testing.contract import PackContract
from imagewright.testing.kit import ImageKit


class TestContract(PackContract):
    flavours = ("puppet-agent",)
    # the agent is no package of the toy
    operating_system = "debian"


def test_metadata_has_its_reader_in_the_image_even_without_base(image_kit: ImageKit) -> None:
    plan = image_kit.plan("puppet-agent", operating_system="debian", skip_base=True)
    assert {flavour.name for flavour in plan.flavours} == {"debian", "cloud-init", "puppet-agent"}
    assert {"cloud-init", "puppet-agent"} <= set(plan.packages)


def test_what_an_agent_that_ran_during_the_build_left_is_taken_out_of_the_tree(tmp_path: Path) -> None:
    for name in ("var/lib/puppet/ssl/private_keys/host.pem", "var/lib/puppet/state/last_run", "etc/puppet/puppet.conf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    script = resources.files("imagewright_flavours_puppet_agent") / "puppet-agent/cleanup.d/50-puppet-agent"
    subprocess.run(["sh", str(script)], check=True, env={**os.environ, "TARGET_ROOT": str(tmp_path)})
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"etc/puppet/puppet.conf"}
    assert (tmp_path / "var/lib/puppet/ssl").is_dir()
