"""The faults that `make model ARGS=--mutants` puts into the scripts: each changes one, and is there once."""

from __future__ import annotations

import pytest

from shared.scripts import COMMON
from tests.model.mutants import MUTANTS
from tests.model.real import Edits


def test_what_a_mutant_changes_stands_in_its_script() -> None:
    edits, names = Edits(), sorted({mutant.script for mutant in MUTANTS} - set(COMMON))
    whole = [edits.text(name) for name in names]
    for mutant in MUTANTS:
        edits.fault = (mutant.script, mutant.text, mutant.instead)
        assert [edits.text(name) for name in names] != whole
    edits.fault = ("claim", "what does not stand there", "")
    with pytest.raises(LookupError, match=r"0 times in claim\.lua"):
        edits.text("claim")


def test_no_two_mutants_are_the_same() -> None:
    assert len({(mutant.script, mutant.text, mutant.instead) for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
