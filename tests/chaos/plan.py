"""What a run asks for and what it breaks, drawn from its seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any

from tests.calls import CHATS, COMPLETIONS
from tests.chaos.forms import FORMS, INFILL, MESSAGES, RESPONSES, WHOLE, Answer, Form, Task, draw
from tests.chaos.vectors import EMBEDDINGS
from tests.prefixes import LONG
from tests.prefixes import draw as draw_tokens

BATCHES = "/v1/batches"
_OF_BATCHES = {
    CHATS: (Form.TEXT, Form.THOUGHTS, Form.CALLS, Form.JSON, Form.LIKELY, Form.STORED),
    COMPLETIONS: (Form.ECHO,),
    MESSAGES: (Form.MESSAGE,),
    RESPONSES: (Form.RESPONSE,),
    INFILL: (Form.GAP,),
    EMBEDDINGS: (Form.EMBEDDING,),
}
"""What lines of batches ask for, by their endpoints."""
_WORDS_OF_A_LINE = 12
_BEGINNINGS = 4
"""Of prompts."""
_TOPICS, _TURN = 4, 48
"""Of conversations, and the tokens by which a turn is longer than the one before."""
ON_DEMAND = (*[Form.TEXT] * 2, Form.CALLS, Form.LIKELY, Form.RESPONSE, Form.STORED, Form.COUNT, Form.EMBEDDING)
"""Forms in which models are asked that are not loaded."""


class Kind(StrEnum):
    """How a client wants its answer."""

    STREAM = "stream"
    WHOLE = "whole"
    POLL = "poll"
    """Submits, then asks for the job now and then."""
    FOLLOW = "follow"
    """Submits, then reads the job's events."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of one client."""

    number: int
    kind: Kind
    path: str
    body: Mapping[str, Any]
    """Without how it is to come."""
    expected: str
    """The transcript of its answer."""
    key: str
    """Its Idempotency-Key; without one it counts its attempts, as the `openai` client does."""
    leaves_after: float | None
    """Seconds after which the client cancels it."""
    form: Form = Form.TEXT
    answer: Answer | None = None
    """The same with what else is known of it; None where it is not."""
    before: tuple[Request, ...] = ()
    """Those that have to be answered first; the lines of a batch, of which those without `answer` are refused."""

    def written(self) -> dict[str, Any]:
        """The body of it."""
        more: dict[str, Any] = {}
        later = self.kind in (Kind.POLL, Kind.FOLLOW)
        if later and self.path == RESPONSES:
            more = {"background": True, "stream": self.kind is Kind.FOLLOW}
        if self.kind is Kind.STREAM:
            more["stream"] = True
            if self.path in (CHATS, COMPLETIONS):
                more["stream_options"] = {"include_usage": True}
        return {**self.body, **more}

    def headers(self, attempts: int) -> dict[str, str]:
        """Those of it, after so many attempts."""
        later = self.kind in (Kind.POLL, Kind.FOLLOW) and self.path != RESPONSES
        told = {"Prefer": "respond-async"} if later else {}
        if self.key:
            return {**told, "Idempotency-Key": self.key}
        return {**told, "x-stainless-retry-count": str(attempts), "x-stainless-read-timeout": "600"}


def echoes(
    random: Random, count: int, models: Sequence[str], forms: Sequence[Form] = FORMS, first: int = 0
) -> list[Request]:
    """Requests to echo engines, whose words tell whose they are.

    Half are streams, a quarter is polled; a tenth goes to the last of the models; a tenth is cancelled.
    """
    kinds = [Kind.STREAM] * 4 + [Kind.WHOLE] * 2 + [Kind.POLL, Kind.FOLLOW]
    requests = []
    for number in range(first, first + count):
        kind, form = random.choice(kinds), random.choice(forms)
        if kind is Kind.STREAM and form in WHOLE:
            kind = Kind.WHOLE
        stays = random.random() >= 0.1 or form in (Form.TALK, Form.CHAIN, Form.FILE, Form.PARTS)
        leaves = None if stays else random.uniform(0.1, 3.0)
        words = [f"{number}.{word};" for word in range(random.randint(30, 130) if leaves is None else 400)]
        keyed = kind in (Kind.POLL, Kind.FOLLOW) or (leaves is None and random.random() < 0.5)
        model = models[-1] if random.random() < 0.1 else random.choice(models[:-1])
        key = f"{random.getrandbits(64):x}" if keyed else ""
        if form is Form.BATCH:
            lines = tuple(_lines(number, words, models, random))
            batch = Request(number, Kind.POLL, BATCHES, {"endpoint": lines[0].path}, "", "", leaves, form, before=lines)
            requests.append(batch)
            continue
        task = draw(form, words, random)
        request = _request(number, kind, task, model, key)
        before = tuple(
            _request(number, kind, each, model, f"{place} {key}" if key else "")
            for place, each in enumerate(task.before)
        )
        requests.append(replace(request, leaves_after=leaves, form=form, before=before))
    return requests


def _lines(number: int, words: Sequence[str], models: Sequence[str], random: Random) -> Iterator[Request]:
    """Those of a batch for one endpoint, which share its words; a tenth of them is refused."""
    forms = random.choice(list(_OF_BATCHES.values()))
    for at in range(0, len(words) - _WORDS_OF_A_LINE + 1, _WORDS_OF_A_LINE):
        form = random.choice(forms)
        task = draw(form, words[at : at + _WORDS_OF_A_LINE], random)
        line = replace(_request(number, Kind.WHOLE, task, random.choice(models), ""), form=form)
        if random.random() < 0.1:
            line = replace(line, answer=None, body={**line.body, **random.choice(({"model": 7}, {"stream": True}))})
        yield line


def _request(number: int, kind: Kind, task: Task, model: str, key: str) -> Request:
    named = {"metadata": {"number": str(number)}} if task.path == RESPONSES or "store" in task.body else {}
    body, known = {"model": model, **named, **task.body}, task.answer
    return Request(number, kind, task.path, body, known.text, key, None, answer=known)


def rhymes(random: Random, count: int, model: str, forms: Sequence[Form] = (Form.TEXT,)) -> list[Request]:
    """Completions by a real model, of a sentence that it has read ten times. What it says has to be found out first.

    It goes on with that sentence by a wide margin. Where two words are nearly as likely, a continued answer may take
    the other one: the engine sums in other batches then; see `repeats`.
    """
    requests = []
    for number in range(count):
        key = f"{random.getrandbits(64):x}" if random.random() < 0.5 else ""
        one, two, three = random.sample(_NOUNS, 3)
        prompt = f"The {random.choice(_LOOKS)} {one} and the {random.choice(_LOOKS)} {two} like the {three}.\n" * 10
        kind = random.choice((Kind.STREAM, Kind.STREAM, Kind.WHOLE, Kind.FOLLOW))
        form = random.choice(forms)
        if kind is Kind.STREAM and form in WHOLE:
            kind = Kind.FOLLOW
        body = {"model": model, "prompt": prompt, "max_tokens": random.randint(20, 60), "temperature": 0}
        body |= _scored(form, random)
        requests.append(Request(number, kind, COMPLETIONS, body, "", key, None, form))
    return requests


def repeats(request: Request, text: str) -> bool:
    """Whether an answer goes on with the sentence of its prompt, and so did not waver between two words."""
    prompt: str = request.body["prompt"]
    return (prompt * 3).startswith(text)


def readings(random: Random, count: int, models: Sequence[str]) -> list[Request]:
    """Completions of long prompts, many of which begin alike, half of them for each of two keys of the prefix cache.
    What the models say of them has to be found out first; its tokens are told, for much of it is no text, which would
    be read again as others."""
    beginnings = [draw_tokens(LONG, random.randrange(1 << 30)) for _ in range(_BEGINNINGS)]
    requests = []
    for number in range(count):
        kind = random.choice((Kind.STREAM, Kind.WHOLE, Kind.FOLLOW))
        form = random.choice((Form.TEXT, Form.LIKELY))
        prompt = [*random.choice(beginnings), *draw_tokens(random.randint(1, 40), number)]
        body = {"model": random.choice(models), "prompt": prompt, "max_tokens": random.randint(3, 12), "temperature": 0}
        body |= {"return_token_ids": True, "prompt_cache_key": random.choice("ab"), **_scored(form, random)}
        key = f"{random.getrandbits(64):x}" if random.random() < 0.5 else ""
        requests.append(Request(number, kind, COMPLETIONS, body, "", key, None, form))
    return requests


def turns(random: Random, count: int, models: Sequence[str], most: int) -> list[Request]:
    """Conversations, each of which goes on where its last turn was: with the same words for each model, which have to
    answer them each in its way. `most` tokens each, long enough to be hurt in the middle."""
    topics = [draw_tokens(LONG + count * _TURN, random.randrange(1 << 30)) for _ in range(_TOPICS)]
    talks = [(model, topic) for topic in topics for model in models]
    requests = []
    for number in range(count):
        turn, talk = divmod(number, len(talks))
        model, topic = talks[talk]
        kind = random.choice((Kind.STREAM, Kind.STREAM, Kind.WHOLE, Kind.POLL, Kind.FOLLOW))
        form = random.choice((Form.TEXT, Form.LIKELY))
        body = {"model": model, "prompt": topic[: LONG + turn * _TURN], "max_tokens": most, "temperature": 0}
        body |= {"return_token_ids": True, "ignore_eos": True, **_scored(form, random)}
        key = f"{random.getrandbits(64):x}" if random.random() < 0.5 else ""
        requests.append(Request(number, kind, COMPLETIONS, body, "", key, None, form))
    return requests


def _scored(form: Form, random: Random) -> dict[str, Any]:
    """What a completion of that form has beside its prompt."""
    match form:
        case Form.LIKELY:
            return {"logprobs": random.randint(0, 5)}
        case Form.ECHO:
            return {"echo": True, "logprobs": 1, **random.choice(({"max_tokens": 0}, {"max_tokens": 1}, {}))}
        case Form.SCORES:
            return {"prompt_logprobs": random.choice((0, 20))}
    return {}


RHYMED = (*[Form.TEXT] * 4, Form.LIKELY, Form.LIKELY, Form.ECHO, Form.SCORES)
"""Forms that a real model is asked for, as often as that."""
_NOUNS = ("dog", "horse", "king", "queen", "fish", "moon", "house", "tree", "bird", "clock", "river", "child")
_LOOKS = ("old", "big", "small", "red", "green", "white", "young", "happy")
