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

FACTS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {}),
    ("gpt2", {"add_bos_token": True, "add_eos_token": True}),
    ("gpt2", {"bos_token_id": None, "eos_token_id": None}),
    ("llama", {"add_eos_token": True}),
    ("llama", {"add_bos_token": False}),
    ("llama", {"bos_token_id": None, "eos_token_id": None}),  # llama.cpp takes the token 1 for it
]


@pytest.mark.parametrize(("model", "facts"), FACTS, ids=str)
def test_one_token_begins_a_prompt(model: str, facts: dict[str, Any], tmp_path: Path) -> None:
    template = "<s>{% for m in messages %}{{ m.content }}{% endfor %}"
    bos = ids()["<s>"]
    with loaded(write(tmp_path / "a.gguf", model, template=template, **facts)) as engine:
        begin = engine.tokenize("")
        assert begin == (
            [] if not facts.get("add_bos_token", model == "llama") else [bos if "bos_token_id" not in facts else 1]
        )
        hello = engine.tokenize("hello")[len(begin) :]
        for prompt in ("hello", "<s>hello"):
            wanted = [bos, *hello] if "<s>" in prompt and begin in ([], [bos]) else [*begin, *hello]
            if "<s>" in prompt and begin == [1]:
                wanted = [1, bos, *hello]  # it has another
            assert completed(engine, prompt) == wanted
        assert completed(engine, "<s><s>hello") == [*(begin if begin == [1] else []), bos, bos, *hello]
        for given in ((bos,), (bos, bos, *hello), tuple(hello)):
            assert completed(engine, given) == list(given)
        assert deltas(run(engine, Completion("tiny", ("hello",), Sampling(seed=1, max_tokens=9))))
        blank = completed(engine, "  ")
        assert blank[: len(begin)] == begin
        assert len(blank) > len(begin)
        assert bos not in blank[len(begin) :]
        chat = asked(engine, ("user", "hello"))
        assert chat == ([1] if begin == [1] else []) + [bos, *hello]
        if begin or "bos_token_id" not in facts:
            assert completed(engine, "") == (begin or [bos])
        else:
            with pytest.raises(InvalidRequest, match="no token to begin with"):
                completed(engine, "")
