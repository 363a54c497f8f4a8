"""The boot server: writes images to machines that ask for it, serves images, collects reports.

It knows nothing of flavours. ``protocol`` is what a ramdisk says, ``placing`` decides what is written where,
``initiator`` writes, ``deployment`` does one deployment, ``server`` answers, ``serving`` holds all of it together.
"""

from __future__ import annotations
