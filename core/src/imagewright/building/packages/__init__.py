"""The one transaction of packages, by the package manager that the operating-system flavour gave.

``transaction`` runs it; ``archives`` brings it what ``store``, which all builds of a cache share, already holds.
``locked`` holds it to a lock file, ``private`` shows it keys and logins. Steps that need archives use the same doors.
"""

from __future__ import annotations
