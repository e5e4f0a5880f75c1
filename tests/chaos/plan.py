"""What a run asks for and what it breaks, drawn from its seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from tests.calls import CHATS, COMPLETIONS, said
from tests.chaos.forms import FORMS, Answer, Form, draw


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
    model: str
    prompt: str
    expected: str
    """The transcript of its answer."""
    most: int | None
    """Its `max_tokens`; None asks an echo engine in a chat, a number a real model for a completion."""
    key: str
    """Its Idempotency-Key; without one it counts its attempts, as the `openai` client does."""
    leaves_after: float | None
    """Seconds after which the client cancels it."""
    form: Form = Form.TEXT
    answer: Answer | None = None
    """The same with what else is known of it; None where it is not."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What it has beside its prompt."""

    def written(self) -> tuple[str, dict[str, Any]]:
        """The path and the body of it."""
        body: dict[str, Any] = {"model": self.model, **self.more}
        if self.kind is Kind.STREAM:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.most:
            return COMPLETIONS, {**body, "prompt": self.prompt, "max_tokens": self.most, "temperature": 0}
        return CHATS, {**body, "messages": said(self.prompt)}


def echoes(
    random: Random, count: int, models: Sequence[str], forms: Sequence[Form] = FORMS, first: int = 0
) -> list[Request]:
    """Requests to echo engines, whose words tell whose they are.

    Half are streams, a quarter is polled; a tenth goes to the last of the models; a tenth is cancelled.
    """
    kinds = [Kind.STREAM] * 4 + [Kind.WHOLE] * 2 + [Kind.POLL, Kind.FOLLOW]
    requests = []
    for number in range(first, first + count):
        kind = random.choice(kinds)
        leaves = random.uniform(0.1, 3.0) if random.random() < 0.1 else None
        words = [f"{number}.{word};" for word in range(random.randint(30, 130) if leaves is None else 400)]
        keyed = kind in (Kind.POLL, Kind.FOLLOW) or (leaves is None and random.random() < 0.5)
        model = models[-1] if random.random() < 0.1 else random.choice(models[:-1])
        key = f"{random.getrandbits(64):x}" if keyed else ""
        form = random.choice(forms)
        task = draw(form, words, random)
        known = task.answer
        asked = Request(number, kind, model, task.prompt, known.text, None, key, leaves, form, known, task.more)
        requests.append(asked)
    return requests


def rhymes(random: Random, count: int, model: str) -> list[Request]:
    """Completions by a real model, of a sentence that it has read ten times. What it says has to be found out first.

    It goes on with that sentence by a wide margin. Where two words are nearly as likely, a continued answer may take
    the other one: the engine sums in other batches then.
    """
    requests = []
    for number in range(count):
        key = f"{random.getrandbits(64):x}" if random.random() < 0.5 else ""
        one, two, three = random.sample(_NOUNS, 3)
        prompt = f"The {random.choice(_LOOKS)} {one} and the {random.choice(_LOOKS)} {two} like the {three}.\n" * 10
        kind = random.choice((Kind.STREAM, Kind.STREAM, Kind.WHOLE, Kind.FOLLOW))
        requests.append(Request(number, kind, model, prompt, "", random.randint(20, 60), key, None))
    return requests


_NOUNS = ("dog", "horse", "king", "queen", "fish", "moon", "house", "tree", "bird", "clock", "river", "child")
_LOOKS = ("old", "big", "small", "red", "green", "white", "young", "happy")
