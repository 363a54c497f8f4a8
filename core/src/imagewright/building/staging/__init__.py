"""What is laid ready for steps, whichever room runs them: variables, scripts with their data, other files."""

from __future__ import annotations
