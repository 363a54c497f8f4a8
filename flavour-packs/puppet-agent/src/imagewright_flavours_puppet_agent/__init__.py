"""Images that a Puppet server takes over at their first boot."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour


class PuppetAgent(Flavour):
    """Debian's Puppet agent, which starts when cloud metadata says so; everything it does lies in its folder."""

    api_version = 1
    folder = Path(__file__).parent / "puppet-agent"
