"""What is kept of a finished image is that image, whoever else writes to the same place."""

from __future__ import annotations

import json
from pathlib import Path

from imagewright.building.images.unchanged import keep_image


def written(folder: Path, word: str) -> tuple[list[Path], dict[str, object]]:
    """An image of one word, and its manifest."""
    folder.mkdir(exist_ok=True)
    manifest: dict[str, object] = {"image": {"id": "web"}, "word": word, "several": (1, 2)}
    (folder / "web.tar").write_text(word)
    (folder / "web.manifest.json").write_text(json.dumps(manifest))
    return [folder / "web.tar", folder / "web.manifest.json"], manifest


def test_an_image_is_kept_with_its_manifest(tmp_path: Path) -> None:
    paths, manifest = written(tmp_path / "output", "ours")
    (tmp_path / "cache").mkdir()
    keep_image(tmp_path / "cache", "key", paths, manifest)
    assert (tmp_path / "cache/images/key/web.tar").read_text() == "ours"


def test_what_another_builder_put_in_place_since_is_not_kept_as_ours(tmp_path: Path) -> None:
    paths, ours = written(tmp_path / "output", "ours")
    written(tmp_path / "output", "theirs")
    (tmp_path / "cache").mkdir()
    keep_image(tmp_path / "cache", "key", paths, ours)
    assert [path.name for path in (tmp_path / "cache/images").iterdir()] == []
