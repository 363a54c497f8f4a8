"""The linter of ``imagewright flavours check``: what a flavour's author would otherwise learn from a failed build.

:func:`checked` looks at a path or a name; every rule is one function in a table (:data:`imagewright.checking.RULES`).
"""

from __future__ import annotations

from imagewright.checking.checking import FLAVOUR_RULES, PACK_RULES, RULES, Report, checked
from imagewright.checking.findings import Finding, Level, Rule

__all__ = ["FLAVOUR_RULES", "PACK_RULES", "RULES", "Finding", "Level", "Report", "Rule", "checked"]
