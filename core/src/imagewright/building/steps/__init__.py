"""One step, where its phase runs: in the tree, on the disk, or as the caller on the host.

``running`` is for the first two, ``hostside`` and below it ``onhost`` for the third. ``inside``, ``calling`` and
``hostcall`` are code of other processes: the sandbox and the interpreter call them by name. Which step is next, and
whether it is run at all, is decided in the room ``tree``.
"""

from __future__ import annotations
