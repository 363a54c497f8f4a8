"""A package manager whose archives come from the store: fetched once for all builds, proven, in plain forms too."""

from __future__ import annotations

import pytest
from imagewright.building.packages.store import store_of
from imagewright.testing.kit import ImageKit

pytestmark = pytest.mark.build

STORED = """
    from dataclasses import dataclass
    from pathlib import Path

    from imagewright.api import PLAIN, Command, hookimpl
    from imagewright.testing.toy import TOYPM, Toy, ToyPackageManager

    FETCH = '''
    set -eu
    toypm resolve "$@" | while read -r name version sum; do
        [ ! -e "/var/cache/toypm/${name}_$version.tar" ] || continue
        echo "fetching $name"
        cp "/usr/lib/toypm/repository/${name}_$version.tar" /var/cache/toypm/
    done
    '''
    INSTALL = 'set -eu; ls PLAIN | sed "s/^/plain form: /"; exec toypm install "$@"'.replace('PLAIN', PLAIN)

    def plain(archive: Path, new: Path) -> None:
        new.write_bytes(archive.read_bytes())

    @dataclass(frozen=True, slots=True, kw_only=True)
    class StoredToyPackageManager(ToyPackageManager):
        archives = '/var/cache/toypm'
        plain_form = 'stored_pack:plain'

        def cache_folders(self):
            return {}

        def archive_name(self, package):
            return f'{package.name}_{package.version}.tar'

        def fetch(self, names):
            return Command(argv=('sh', '-c', FETCH, 'fetch', *names))

        def install(self, names):
            return Command(argv=('sh', '-c', INSTALL, 'install', *names))

    class StoredToy(Toy):
        @hookimpl
        def package_manager(self, ctx):
            return StoredToyPackageManager()
"""


def test_archives_are_fetched_once_for_all_builds_and_again_when_they_are_damaged(image_kit: ImageKit) -> None:
    image_kit.pack("stored-pack", STORED, {"stored-toy": "StoredToy"})

    def built() -> tuple[str, bytes]:
        image = image_kit.build("stored-toy", operating_system="", skip_base=True, fresh=True, no_cache=True)
        return image.log, image.path(".tar").read_bytes()

    log, first = built()
    assert "fetching kernel" in log
    assert "plain form: kernel_" in log
    kept = sorted(store_of(image_kit.cache).folder.iterdir())
    assert kept
    log, second = built()
    assert "fetching" not in log
    assert "plain form: kernel_" in log
    assert second == first
    archive = max((path for path in kept if path.name.endswith(".package")), key=lambda path: path.stat().st_size)
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    log, third = built()
    assert "fetching" in log
    assert third == first
    assert archive.read_bytes() == content
