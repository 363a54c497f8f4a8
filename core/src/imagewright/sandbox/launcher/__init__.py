"""The other side of the sandbox: the launcher's process and its children. Standard library only.

``__main__`` makes the namespaces; ``views`` and ``stack`` make what a job sees, ``watching`` says what it opens,
``walls`` take away what it must not have, and ``worker`` becomes its program. ``chores`` are the sandbox's own calls.
"""

from __future__ import annotations
