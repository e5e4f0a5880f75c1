"""What an answer tells of how likely its tokens were, and what might have come in their place.

Whole answers and chunks are made of the same: a ledger of each choice takes in its pieces, and makes JSON of them as
they come, for it is much more than the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Raw

from gateway.schemas.openai import encode
from gateway.schemas.token_offsets import TokenOffsets
from shared.protocol import Delta, Event, FineCompletion, Options, StartOver, Task, TextTask, TokenLogprob

LEAST = -9999.0
"""Told of what cannot be, as OpenAI does: JSON has no infinities."""


class Ledger(Protocol):
    """What is yet to be told of one choice."""

    def add(self, piece: Delta) -> None:
        """The next piece of the choice."""


_Ledger = TypeVar("_Ledger", bound=Ledger)


class Ledgers(Generic[_Ledger]):
    """Those of all choices."""

    def __init__(self, make: Callable[[], _Ledger]) -> None:
        self._make = make
        self._ledgers = dict[int, _Ledger]()

    def of(self, index: int) -> _Ledger:
        if index not in self._ledgers:
            self._ledgers[index] = self._make()
        return self._ledgers[index]

    def noted(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events, each after its ledger has it."""
        for event in events:
            if isinstance(event, Delta):
                self.of(event.index).add(event)
            elif isinstance(event, StartOver):
                self._ledgers.clear()
            yield event


class GrowingArray:
    """A JSON array that grows: in no more memory than it takes in the answer."""

    def __init__(self) -> None:
        self._blob = bytearray(b"[")

    def __bool__(self) -> bool:
        return len(self._blob) > 1

    def add(self, value: object) -> None:
        self._blob += encode(value)
        self._blob += b","

    def take(self) -> Raw:
        """All of it; after that it is empty."""
        told, self._blob = self._blob, bytearray(b"[")
        told[max(1, len(told) - 1) :] = b"]"
        return Raw(told)


class PromptLedger:
    """Of the tokens of a prompt, as vLLM tells them."""

    def __init__(self, options: Options) -> None:
        self._most = options.prompt_logprobs
        self._told = GrowingArray()

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, piece: Delta) -> None:
        if self._most is not None:
            for each in piece.prompt_logprobs:
                self._told.add(_prompt_token(each, self._most))

    def take(self) -> dict[str, Any]:
        """To be merged into who tells it; nothing, unless the request wants it."""
        return {} if self._most is None else {"prompt_logprobs": self._told.take()}


class ChatLedger:
    """As OpenAI's chats tell them; those of thoughts as DeepSeek's do."""

    def __init__(self, task: Task, options: Options) -> None:
        assert isinstance(task, TextTask), "what formats of texts make"
        self.prompt = PromptLedger(options)
        self._wanted = task.sampling.logprobs is not None
        self._hides, self._as_ids = options.hides_reasoning, options.tokens_as_ids
        self._content, self._thoughts = GrowingArray(), GrowingArray()

    def __bool__(self) -> bool:
        """There is something to tell of the answer."""
        return bool(self._content or self._thoughts)

    def add(self, piece: Delta) -> None:
        if piece.index == 0:  # the prompt of all choices
            self.prompt.add(piece)
        if piece.logprobs and not (piece.reasoning and self._hides):
            told = self._thoughts if piece.reasoning else self._content
            for each in tell_tokens(piece.logprobs, as_ids=self._as_ids):
                told.add(each)

    def take(self) -> dict[str, Any] | None:
        """The choice's `logprobs`."""
        if not self._wanted:
            return None
        told: dict[str, Any] = {"content": self._content.take(), "refusal": None}
        return {**told, "reasoning_content": self._thoughts.take()} if self._thoughts else told


def tell_tokens(entries: Iterable[TokenLogprob], *, as_ids: bool) -> Iterator[dict[str, Any]]:
    """Each as OpenAI's chats and responses tell it, with what might have come in its place."""

    def entry(token: int, text: bytes, logprob: float | None) -> dict[str, Any]:
        name = _as_id(token) if as_ids else text.decode("utf-8", "backslashreplace")
        return {"token": name, "logprob": _told(logprob), "bytes": [*text]}

    for each in entries:
        alternatives = [entry(one.token, one.text, one.logprob) for one in each.top]
        yield {**entry(each.token, each.text, each.logprob), "top_logprobs": alternatives}


class CompletionLedger:
    """As OpenAI's completions tell them: also of the prompt, where it is repeated."""

    def __init__(self, task: Task, options: Options) -> None:
        assert isinstance(task, TextTask), "what formats of texts make"
        self.prompt = PromptLedger(options)
        self._wanted = task.sampling.logprobs
        self._echoes = isinstance(task, FineCompletion) and task.echo
        self._name = (lambda token, text: _as_id(token)) if options.tokens_as_ids else _name
        self._tokens, self._logprobs, self._tops, self._places = (
            GrowingArray(),
            GrowingArray(),
            GrowingArray(),
            GrowingArray(),
        )
        self._offsets = TokenOffsets()
        self._before = 0
        """Characters of the prompt, where it is repeated."""

    def __bool__(self) -> bool:
        """There is something to tell of tokens."""
        return bool(self._tokens or self.prompt)

    def add(self, piece: Delta) -> None:
        self.prompt.add(piece)
        if self._wanted is None:
            return
        if piece.prompt_text:
            self._offsets.begin(piece.prompt_text, 0)
            self._before = len(piece.prompt_text)
        if self._echoes:
            for each in piece.prompt_logprobs:
                self._add(each, self._wanted)
        if piece.logprobs:
            self._offsets.begin(piece.text, self._before + piece.offset)
            for each in piece.logprobs:
                self._add(each, self._wanted)

    def take(self) -> dict[str, Any] | None:
        """The choice's `logprobs`."""
        if self._wanted is None:
            return None
        return {
            "tokens": self._tokens.take(),
            "token_logprobs": self._logprobs.take(),
            "top_logprobs": self._tops.take(),
            "text_offset": self._places.take(),
        }

    def _add(self, each: TokenLogprob, most: int) -> None:
        name = self._name(each.token, each.text)
        self._tokens.add(name)
        self._places.add(self._offsets.place(each.text))
        if each.logprob is None:
            self._logprobs.add(None)
            self._tops.add(None)
            return
        self._logprobs.add(_told(each.logprob))
        tops = dict[str, float]()
        for one in each.top[:most]:
            tops.setdefault(self._name(one.token, one.text), _told(one.logprob))  # the likelier of two with one name
        tops.setdefault(name, _told(each.logprob))
        self._tops.add(tops)


def _prompt_token(each: TokenLogprob, most: int) -> dict[str, Any] | None:
    if each.logprob is None:
        return None
    told = {str(each.token): _ranked(each.logprob, each.rank or None, each.text)}
    for rank, one in enumerate(each.top[:most], 1):
        told.setdefault(str(one.token), _ranked(one.logprob, rank, one.text))
    return told


def _ranked(logprob: float, rank: int | None, text: bytes) -> dict[str, Any]:
    return {"logprob": _told(logprob), "rank": rank, "decoded_token": text.decode("utf-8", "replace")}


def _told(logprob: float | None) -> float:
    return LEAST if logprob is None else max(logprob, LEAST)


def _as_id(token: int) -> str:
    return f"token_id:{token}"


def _name(token: int, text: bytes) -> str:
    """OpenAI's name of a token: its text, or its bytes where they are no whole characters."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return "bytes:" + text.decode("utf-8", "backslashreplace")
