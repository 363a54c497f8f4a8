"""One ramdisk: from a request to a ramdisk and its kernel in their places.

``ramdisks.build.build_ramdisk`` is the door; it opens a ``shop``, and has the ``recipe`` carried out there with a
``kernel``. What a ramdisk holds and how it is packed is decided in :mod:`imagewright.ramdisk`; this room grows the tree
that it comes from, lays ready what comes from elsewhere, and has it made.
"""

from __future__ import annotations
