"""Running a plan: the only part that touches the machine, through one sandbox.

Nothing is imported here: the launcher, which loads functions of this package for every build, would load the builder.
"""

from __future__ import annotations
