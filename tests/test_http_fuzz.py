"""HTTP at the socket, in short; `python -m tests.fuzz.http` takes longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.http import Fuzz, run, start


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    stack = start(tmp_path_factory.mktemp("http"))
    try:
        yield Fuzz(stack)
    finally:
        stack.close()


def test_whatever_comes_is_answered_or_ended(fuzz: Fuzz) -> None:
    run(fuzz, seed=5, examples=150)
    assert fuzz.sound == fuzz.spoiled == 150
    assert fuzz.statuses[400] > 50
    assert fuzz.statuses[200] > 10
