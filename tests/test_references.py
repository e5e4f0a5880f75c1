"""How likely tokens are told to be is what transformers says: see `tests/fixtures/make_likelihoods.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from openai import OpenAI
from openai.types import CompletionChoice
from openai.types.completion_choice import Logprobs

from tests.likelihoods import NEAR, REFERENCE, write
from tests.stack import running

PROMPTS: list[dict[str, Any]] = REFERENCE["prompts"]
GENERATED: list[dict[str, Any]] = REFERENCE["generated"]
TOP = 5


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """Of a worker with the model in float32."""
    folder = tmp_path_factory.mktemp("likelihoods")
    with running(folder) as stack:
        stack.start_gateway()
        stack.start_worker(str(write(folder)), slots=2, threads=1)
        yield stack.client()


def create(client: OpenAI, prompt: Any, **more: Any) -> Any:
    asked: Any = client.completions.create
    return asked(model="tiny", prompt=prompt, **{"temperature": 0, "logprobs": TOP, **more})


def ask(client: OpenAI, prompt: Any, **more: Any) -> list[CompletionChoice]:
    choices: list[CompletionChoice] = create(client, prompt, **more).choices
    return choices


def told(choice: CompletionChoice) -> Logprobs:
    assert choice.logprobs
    return choice.logprobs


def near(seen: Sequence[float | None], wanted: Sequence[float]) -> None:
    assert seen == pytest.approx(wanted, abs=NEAR)


def compare(logprobs: Logprobs, wanted: dict[str, Any], after: int = 0) -> None:
    """Those of a prompt, and of so many tokens after it, with what transformers says of the prompt."""
    values: list[float | None] = [*(logprobs.token_logprobs or [])]
    tops = logprobs.top_logprobs
    assert tops
    end = len(wanted["ids"])
    assert len(values) == len(tops) == end + after
    assert values[0] is None
    near(values[1:end], wanted["logprobs"])
    for value, rank, top, likeliest in zip(values[1:end], wanted["ranks"], tops[1:end], wanted["top"], strict=True):
        known = [logprob for _, logprob in likeliest]
        near([max(top.values())], known[:1])
        for other in {*top.values()} - {value}:  # tokens that are parts of a character may have one name
            near([other], [min(known, key=lambda logprob: abs(logprob - other))])
        if rank == 1 or known[0] - known[1] > 2 * NEAR:
            assert (value == max(top.values())) == (rank == 1)  # what lm-eval takes for greedy


@pytest.mark.parametrize("max_tokens", [0, 1])
@pytest.mark.parametrize("wanted", PROMPTS, ids=lambda wanted: repr(wanted["prompt"])[:20])
def test_prompts(client: OpenAI, wanted: dict[str, Any], max_tokens: int) -> None:
    [choice] = ask(client, wanted["prompt"], echo=True, max_tokens=max_tokens)
    compare(told(choice), wanted, max_tokens)
    if isinstance(wanted["prompt"], str):
        assert choice.text.startswith(wanted["prompt"])


def test_prompts_in_a_batch(client: OpenAI) -> None:
    """Texts, and then ids; each has its own choice."""
    for kind in (str, list):
        batch = [wanted for wanted in PROMPTS if isinstance(wanted["prompt"], kind)]
        answer = create(client, [wanted["prompt"] for wanted in batch], echo=True, max_tokens=1)
        for choice, wanted in zip(sorted(answer.choices, key=lambda choice: choice.index), batch, strict=True):
            compare(told(choice), wanted, 1)
        used = (sum(len(wanted["ids"]) for wanted in batch), len(batch))
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == used


def test_prompts_in_a_stream(client: OpenAI) -> None:
    """They are told as in a whole answer."""
    wanted = max(PROMPTS, key=lambda wanted: isinstance(wanted["prompt"], str) and len(wanted["ids"]))
    [choice] = ask(client, wanted["prompt"], echo=True, max_tokens=2)
    chunks = create(client, wanted["prompt"], echo=True, max_tokens=2, stream=True)
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(piece.text for piece in pieces) == choice.text
    parts = [piece.logprobs for piece in pieces if piece.logprobs]
    streamed = Logprobs.model_construct(  # the first token has none
        text_offset=[offset for part in parts for offset in part.text_offset],
        token_logprobs=[value for part in parts for value in part.token_logprobs],
        tokens=[token for part in parts for token in part.tokens],
        top_logprobs=[top for part in parts for top in part.top_logprobs],
    )
    compare(streamed, wanted, 2)
    assert (streamed.tokens, streamed.text_offset) == (told(choice).tokens, told(choice).text_offset)


@pytest.mark.parametrize("wanted", GENERATED, ids=lambda wanted: repr(wanted["prompt"])[:20])
def test_what_is_generated(client: OpenAI, wanted: dict[str, Any]) -> None:
    """It is as likely where it is generated, streamed or not, and where it is a prompt."""
    count = len(wanted["ids"])
    [choice] = ask(client, wanted["prompt"], max_tokens=count, extra_body={"return_token_ids": True})
    assert choice.token_ids == wanted["ids"]  # type: ignore[attr-defined]  # a field that OpenAI has not
    near(told(choice).token_logprobs or [], wanted["logprobs"])
    stream = create(client, wanted["prompt"], max_tokens=count, stream=True)
    parts = [told(part.choices[0]) for part in stream if part.choices and part.choices[0].logprobs]
    streamed = list(itertools.chain.from_iterable(part.token_logprobs or [] for part in parts))
    near(streamed, wanted["logprobs"])
    [forced] = ask(client, choice.prompt_token_ids + wanted["ids"], echo=True, max_tokens=0)  # type: ignore[attr-defined]  # a field that OpenAI has not
    values = told(forced).token_logprobs
    assert values
    near(values[-count:], wanted["logprobs"])
