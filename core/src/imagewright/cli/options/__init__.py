"""Options: the one table of them, which of them a command takes, and where the value of each comes from.

``setting`` says what an option is and ``kinds`` how its text becomes a value; ``settings`` is the table, of which some
parts are modules of their own; ``sets`` are the options of each command. ``resolve`` finds the values, and ``origins``
remembers whose they were.
"""

from __future__ import annotations
