"""Layers kept by key: the change of the filesystem that one step made, found again by the next build.

::

    CACHE/layers/MAPPING/        one folder per mapping of ids, whose owners the files have
        KEY/tree                 the layer, an overlay's upper folder
        KEY/layer.json           what made it, what it found out, and the digests that show damage
        KEY/synced               there once the layer is known to be on the disk
        answers/KEY.json         what the world last answered to a question, and when
        locks/KEY                held by whoever makes the layer

Knows nothing of flavours and plans; :mod:`imagewright.building` decides what is kept under which key.
"""
