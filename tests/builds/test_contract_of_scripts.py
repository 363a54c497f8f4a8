"""The table of variables, which the linter and the reference go by, is what scripts are really given."""

from __future__ import annotations

import pytest
from imagewright.checking.contract import VARIABLES
from imagewright.types import Phase

from .conftest import SCRIPT_PHASES, Probed

SHELLS = {"PWD", "OLDPWD", "SHLVL", "_"}
"""What the shell of the script sets itself."""

PARAMETERS = {"COLOUR", "PROBE_COLOUR", "TOKEN", "PROBE_TOKEN"}


@pytest.mark.parametrize("phase", SCRIPT_PHASES)
def test_a_script_is_given_the_variables_of_the_table_and_no_others(probed: Probed, phase: str) -> None:
    given = set(probed.answers.variables(phase)) - SHELLS - PARAMETERS
    known = {variable.name for variable in VARIABLES if variable.in_phase(Phase(phase))}
    always = {variable.name for variable in VARIABLES if variable.in_phase(Phase(phase)) and variable.always}
    assert not given - known, "not in the table"
    assert not always - given, "in the table, and not given"
