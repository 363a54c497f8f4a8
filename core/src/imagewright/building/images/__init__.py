"""One disk image: from a request to artefacts in their places.

``images.build.build`` is the door, for the command line and for tests. Where nothing has changed, ``unchanged`` puts
the files of an earlier build in place instead.
"""

from __future__ import annotations
