"""How likely tokens are to the echo engine: made up, the same each time, and in form as a model's."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence

from shared.cancellation import NEVER, Cancellable
from shared.context import Room
from shared.protocol import Chat, FineCompletion, TextTask, TokenLogprob, TopLogprob
from worker.engines.echo_answer import TOKEN, around
from worker.engines.echo_tokenizer import number, transcript


class EchoScorer:
    """See `worker.engines.PromptScorer`."""

    def __init__(self, context: int) -> None:
        self._context = context

    def read(self, task: TextTask, work: Cancellable = NEVER) -> list[int]:
        param, _, numbers = read_prompt(task)
        Room(self._context, param).check(len(numbers))
        return numbers

    def score_prompt(
        self, task: TextTask, tokens: Sequence[int], work: Cancellable, top: int, *, further: bool
    ) -> Iterator[TokenLogprob]:
        _, words, _ = read_prompt(task)
        return (judge(token, word, place, top) for place, (token, word) in enumerate(zip(tokens, words, strict=True)))

    def score(
        self, tokens: Sequence[int], after: int = 1, work: Cancellable = NEVER, top: int = 0, *, further: bool = False
    ) -> Iterator[TokenLogprob]:
        return (judge(token, str(token), place, top) for place, token in enumerate(tokens[after:], after))


def read_prompt(task: TextTask) -> tuple[str, list[str], list[int]]:
    """The parameter that the prompt comes from, its words and their numbers."""
    if isinstance(task, Chat):
        param, prompt, ids = "messages", transcript(task), None
    else:
        param, [given] = "prompt", task.prompt
        ids = None if isinstance(given, str) else given
        prompt = given if isinstance(given, str) else " ".join(map(str, given))
    if isinstance(task, FineCompletion) and task.suffix is not None:
        prompt, ids = " ".join(around(task)), None
    words = TOKEN.findall(prompt)
    return param, words, list(map(number, words)) if ids is None else list(ids)


def judge(token: int, text: str, place: int, most: int) -> TokenLogprob:
    """That of the token at a place of the context, with the `most` likeliest there: it may be one of them."""
    if place == 0:
        return TokenLogprob(token, text.encode(), None)
    number = zlib.crc32(b"%d/%d" % (place, token))
    ratio = 0.3 + number % 1024 / 2048  # of each probability to the one of the rank before
    rank = 1 + max(0, number // 1024 % 64 - 32)  # half of the tokens are the likeliest

    def logprob(rank: int) -> float:
        return math.log(1 - ratio) + (rank - 1) * math.log(ratio)

    others = (TopLogprob((number >> 1) + each, _other(each), logprob(each)) for each in range(1, most + 1))
    own = TopLogprob(token, text.encode(), logprob(rank))
    top = tuple(own if place == rank else other for place, other in enumerate(others, 1))
    return TokenLogprob(token, own.text, own.logprob, top, rank)


def _other(rank: int) -> bytes:
    """Some are a part of a character."""
    return b" \xe2\x80" if rank % 5 == 3 else b" other%d" % rank
