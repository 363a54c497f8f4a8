"""Flavours on a shelf: folders and distributions as `pip install --target` leaves them, made in a moment."""

from __future__ import annotations

import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from imagewright import entrypoints
from imagewright.planning import Prepared, prepare
from imagewright.request import Request

SCRIPT = "#!/bin/sh\n"


class Shelf:
    """A flavour search path of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "flavours"
        self.folder.mkdir()
        self.paths = [self.folder]

    def flavour(self, name: str, toml: str = "", **files: str) -> Path:
        """Write a directory flavour; a path in ``files`` has its dashes and slashes (use ``**{...}``)."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        if toml or not files:
            (folder / "flavour.toml").write_text(textwrap.dedent(toml))
        for path, content in files.items():
            self.write(folder / path, content)
        return folder

    def write(self, path: Path, content: str) -> Path:
        """Write a file, executable if it is a script."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755 if content.startswith("#!") else 0o644)
        return path

    def system(self, name: str = "system", **files: str) -> Path:
        """Write an operating system."""
        return self.flavour(name, 'provides = ["operating-system"]', **({f"root.d/10-root-{name}": SCRIPT} | files))

    def pack(
        self,
        distribution: str,
        flavours: Mapping[str, str],
        source: str = "",
        *,
        version: str = "1.0",
        group: str = "imagewright.flavours",
    ) -> Path:
        """Write a tree as `pip install --target` leaves it, with one module called like the distribution."""
        tree = self.root / f"tree-{distribution}-{version}-{len(self.paths)}"
        module = distribution.replace("-", "_")
        tree.mkdir()
        (tree / f"{module}.py").write_text("from imagewright.api import *\n" + textwrap.dedent(source))
        lines = [f"{name} = {value if ':' in value else f'{module}:{value}'}" for name, value in flavours.items()]
        information = tree / f"{module}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (information / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
        self.paths.append(tree)
        return tree

    def project(self, project: Path) -> Path:
        """Lay out a source project of one module as an installation would."""
        document = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        (source,) = (project / "src").glob("*.py")
        flavours = document["entry-points"]["imagewright.flavours"]
        tree = self.pack(document["name"], flavours, version=document["version"])
        (tree / source.name).write_text(source.read_text())
        return tree

    def request(self, *flavours: str, **options: Any) -> Request:
        """A request for these flavours."""
        options.setdefault("flavour_path", tuple(self.paths))
        options.setdefault("default_operating_system", "system")
        options.setdefault("skip_base", True)
        return Request(flavours=flavours, output=self.root / "image", **options)

    def prepare(self, *flavours: str, **options: Any) -> Prepared:
        """The plan for these flavours."""
        return prepare(self.request(*flavours, **options))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A shelf; what it brings into the interpreter is taken out again.

    Flavours of the environment are out of sight: names of the tests would meet theirs.
    """

    def distributions(**path: Any) -> list[metadata.Distribution]:
        found = metadata.distributions(**path)
        return [one for one in found if "path" in path or not one.entry_points.select(group="imagewright.flavours")]

    monkeypatch.setattr(entrypoints, "distributions", distributions)
    path, modules = list(sys.path), set(sys.modules)
    yield Shelf(tmp_path)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        where = getattr(sys.modules[name], "__file__", None) or ""
        if where.startswith(str(tmp_path)):
            del sys.modules[name]
