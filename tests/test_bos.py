"""One token begins a prompt, at most, and none ends it: whatever the vocabulary has, and the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.protocol import Completion, Sampling
from tests.answers import deltas, run
from tests.tiny import loaded
from tests.vocabularies import asked, completed, ids, write

BOS = ids()["<s>"]
OTHER = 1
"""What llama.cpp takes for it where the file of a SentencePiece vocabulary does not tell."""
NONE = {"bos_token_id": None, "eos_token_id": None}
BEGINNINGS: list[tuple[str, dict[str, Any], list[int]]] = [
    ("gpt2", {}, []),
    ("gpt2", {"add_bos_token": True, "add_eos_token": True}, [BOS]),
    ("gpt2", NONE, []),
    ("llama", {"add_eos_token": True}, [BOS]),
    ("llama", {"add_bos_token": False}, []),
    ("llama", NONE, [OTHER]),
]


@pytest.mark.parametrize(("model", "facts", "begin"), BEGINNINGS, ids=str)
def test_one_token_begins_a_prompt(model: str, facts: dict[str, Any], begin: list[int], tmp_path: Path) -> None:
    template = "<s>{% for m in messages %}{{ m.content }}{% endfor %}"
    with loaded(write(tmp_path / "a.gguf", model, template=template, **facts)) as engine:
        assert engine.tokenize("") == begin
        hello = engine.tokenize("hello")[len(begin) :]
        assert hello
        assert completed(engine, "hello") == [*begin, *hello]
        before = [OTHER] if begin == [OTHER] else []  # to it, BOS is a token as others are
        assert completed(engine, "<s>hello") == [*before, BOS, *hello]
        assert completed(engine, "<s><s>hello") == [*before, BOS, BOS, *hello]
        assert asked(engine, ("user", "hello")) == [*before, BOS, *hello]
        for given in ((BOS,), (BOS, BOS, *hello), tuple(hello)):
            assert completed(engine, given) == list(given)
        blank = completed(engine, "  ")
        assert blank[: len(begin)] == begin
        assert len(blank) > len(begin)
        assert not {BOS, OTHER}.intersection(blank[len(begin) :])
        if begin or facts != NONE:
            assert completed(engine, "") == (begin or [BOS])
        else:
            with pytest.raises(InvalidRequest, match="no token to begin with"):
                completed(engine, "")
        assert deltas(run(engine, Completion("tiny", ("hello",), Sampling(seed=1, max_tokens=9))))
