"""Finished files: what they are, what lies beside them, and putting them in place.

``writing`` has drivers make artefacts of a disk, ``beside`` adds manifest, sums and the like, ``publishing`` moves all
of them to their places or none. An image and a ramdisk end the same way.
"""

from __future__ import annotations
