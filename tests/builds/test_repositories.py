"""A private repository serves the build: its key and login are in every step and nowhere else, before and after."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from imagewright.events import Notice
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit
from imagewright.types import Repository

PASSWORD = "".join(("s3cr3t", "-of-", "acme"))
KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nmQGNBGVT0gABDADacme\n"

SYSTEM = '''
    from dataclasses import dataclass

    from imagewright.api import Entry, Tree, hookimpl
    from imagewright.testing.toy import Toy, ToyPackageManager

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Taking(ToyPackageManager):
        """toypm, with what a package manager of private repositories has besides."""

        repositories: tuple = ()

        def private_files(self):
            (one,) = self.repositories
            return Tree((
                Entry(path="key", mode=0o600, content=one.keys[0]),
                Entry(path="login", mode=0o600, content=str(one.login).encode()),
            ))

    class Private(Toy):
        @hookimpl
        def package_manager(self, ctx):
            return Taking(mirror=ctx.mirror, repositories=ctx.repositories)
'''

# what a step could do by accident: print it, change modes of everything below /, look at what outlives the step
LOOK = """#!/bin/sh
set -eu
echo "login: $(cat /run/imagewright/private/login)"
sed 's/^/key: /' /run/imagewright/private/key
chmod -R go-w /etc /usr /run/imagewright 2>/dev/null || echo "not everything can be changed"
touch /run/imagewright/private/new 2>/dev/null || echo "nothing can be added"
su toy -c 'cat /run/imagewright/private/login' 2>/dev/null || echo "others cannot read it"
"""
# outside the target the layers lie open
SEARCH = """#!/bin/sh
set -eu
test -d /run/imagewright/work/layers
found=$(grep -rl -e s3cr3t-of -e mQGNBGVT0gABDAD /run/imagewright/work/layers /run/imagewright/target || true)
echo "layers with it: ${found:-none}"
"""


@pytest.fixture
def built(image_kit: ImageKit) -> Built:
    image_kit.pack("private-pack", SYSTEM, {"private": "Private"})
    steps = {f"{phase}.d/50-look": LOOK for phase in ("pre-install", "install", "post-install", "finalise")}
    image_kit.flavour("looking", {**steps, "cleanup.d/80-search": SEARCH})
    repository = Repository(
        address="http://packages.acme.invalid/debian",
        suite="stable",
        components=("main",),
        keys=(KEY,),
        login=f"ann:{PASSWORD}",
    )
    return image_kit.build(
        "private",
        "looking",
        operating_system="",
        skip_base=True,
        repositories=(repository,),
        types=("tar", "raw"),
        image_size=64 * 2**20,
    )


def test_key_and_login_are_in_every_step_of_the_target_and_in_nothing_that_stays(
    built: Built, image_kit: ImageKit
) -> None:
    # they were there, for the step's root alone, and what printed them was masked
    assert built.log.count("login: ***") == 4
    assert built.log.count("key: mQGN") == 4
    assert built.log.count("nothing can be added") == 4
    assert built.log.count("others cannot read it") == 4
    assert "layers with it: none" in built.log
    assert PASSWORD not in built.log
    assert PASSWORD not in json.dumps([asdict(event) for event in built.events], default=str)
    held = [path for path in built.paths if any(word in path.read_bytes() for word in (PASSWORD.encode(), KEY))]
    assert not held
    left = [path for path in image_kit.folder.rglob("*") if path.is_file() and path.stat().st_size < 2**20]
    assert left
    assert not [path for path in left if PASSWORD.encode() in path.read_bytes()]


def test_a_login_that_crosses_the_network_in_the_clear_is_a_warning(built: Built) -> None:
    warnings = [event.message for event in built.events if isinstance(event, Notice) and event.level == "warning"]
    assert any("http://packages.acme.invalid/debian crosses the network in the clear" in one for one in warnings)


def test_the_manifest_says_where_packages_may_come_from(built: Built) -> None:
    (said,) = built.manifest["plan"]["repositories"]
    assert (said["address"], said["login"], said["given_by"]) == (
        "http://packages.acme.invalid/debian",
        "***",
        "--repository",
    )


def test_a_failed_build_leaves_neither(image_kit: ImageKit) -> None:
    image_kit.pack("private-failing-pack", SYSTEM, {"private": "Private"})
    image_kit.flavour("failing", {"install.d/50-fail": "#!/bin/sh\ncat /run/imagewright/private/login; exit 3\n"})
    one = Repository(
        address="http://acme.invalid", suite="s", components=("main",), keys=(KEY,), login=f"ann:{PASSWORD}"
    )
    error = image_kit.fails("private", "failing", operating_system="", skip_base=True, repositories=(one,))
    assert PASSWORD not in str(error)
    files = [path for path in Path(image_kit.folder).rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
