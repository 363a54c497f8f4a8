"""Which packages an image holds, by the databases of its package managers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from imagewright.comparing.files import File
from imagewright.reading.trees import Kind

_DPKG = "/var/lib/dpkg/status"
_DPKG_PARTS = "/var/lib/dpkg/status.d/"
_INSTALLED = "install ok installed"
_FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)


def packages_of(files: Mapping[str, File]) -> dict[str, str]:
    """The versions of the installed packages by ``NAME:ARCHITECTURE``; none if the image has no database of dpkg's.

    The form is that of deb-control(5); images without dpkg itself keep it in parts. Raises Damaged.
    """
    found = {}
    parts = [path for path in files if path.startswith(_DPKG_PARTS) and not path.endswith(".md5sums")]
    for path in (_DPKG, *parts):
        file = files.get(path)
        if file is None or file.kind is not Kind.FILE:
            continue
        for paragraph in re.split(r"\n[ \t]*\n", _text(file)):
            fields = dict(_FIELD.findall(paragraph))
            if "Package" in fields and (path != _DPKG or fields.get("Status", "").endswith(_INSTALLED)):
                found[f"{fields['Package']}:{fields.get('Architecture', '')}".rstrip(":")] = fields.get("Version", "")
    return found


def _text(file: File) -> str:
    return b"".join(_content(file)).decode("utf-8", "replace")


def _content(file: File) -> Iterator[bytes]:
    assert file.tree is not None
    assert file.node is not None
    return file.tree.chunks(file.node)
