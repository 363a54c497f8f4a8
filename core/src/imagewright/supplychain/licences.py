"""Short names of licences in Debian's copyright files, and what the SPDX list calls them."""

from __future__ import annotations

_NAMES = {
    "apache-2.0": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "cc0-1.0": "CC0-1.0",
    "expat": "MIT",
    "isc": "ISC",
    "mit": "MIT",
    "mpl-2.0": "MPL-2.0",
    "zlib": "Zlib",
} | {
    f"{family}-{version}{plus}": f"{family.upper()}-{version if '.' in version else f'{version}.0'}-{kind}"
    for family, versions in (("gpl", ("1", "2", "3")), ("lgpl", ("2", "2.1", "3")), ("agpl", ("3",)))
    for version in versions
    for plus, kind in (("", "only"), ("+", "or-later"))
}


def spdx_identifier(name: str) -> str:
    """The identifier of the SPDX licence list for a short name (DEP 5), empty where the two do not mean the same."""
    return _NAMES.get(name.lower(), "")
