"""The root tree: what an image and a ramdisk have in common.

``with growing.opened(...) as building: growing.grow(building)`` gives the finished tree; ``forecast`` tells without
touching anything which layers it would find, ``visiting`` opens a shell in it half-way, ``slate`` judges it. Nothing
here knows what the tree becomes.
"""

from __future__ import annotations
