"""The format of /v1/completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from marshmallow import fields, validates_schema

from gateway.schemas.answer import fold
from gateway.schemas.caps import MAX_CHOICES, Cap
from gateway.schemas.format import PAUSE, Format, Frames
from gateway.schemas.logprob_request import Logprobs
from gateway.schemas.logprobs import CompletionLedger, Ledgers
from gateway.schemas.openai import (
    NOTHING_TOLD,
    UsageSoFar,
    announcer,
    cut,
    encode,
    head,
    prompt_token_ids,
    render_failure,
    render_frames,
    token_ids,
    usage,
)
from gateway.schemas.parameters import INT32_MAX, Boolean, Integer, Prose, each, text, whole
from gateway.schemas.problem import refuse, show, wrong_type
from gateway.schemas.sampling import SamplingSchema, options, refuse_choices, sampling
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Completion, Delta, Event, FineCompletion, FinishReason, Options, Prompt, Task

_KIND = "text_completion"
_MAX_TOKENS = 16
"""Where the request says nothing, as at OpenAI."""
_KINDS = "a string, or an array of strings, of token ids, or of arrays of token ids"


class Prompts(fields.Field[tuple[Prompt, ...]]):
    """One prompt or several, as texts or as token ids; `most` at one time, which an error calls by their `noun`."""

    def __init__(self, most: int | Cap = MAX_CHOICES, noun: str = "prompts", *, empty: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.most, self.noun, self.empty = most, noun, empty

    @property
    def json_schema(self) -> dict[str, Any]:
        text = {"type": "string", "minLength": 0 if self.empty else 1}
        token = {"type": "integer", "minimum": 0, "maximum": INT32_MAX}
        tokens = {"type": "array", "items": token, "minItems": 1}
        several = {"type": "array", "items": {"anyOf": [text, tokens]}, "minItems": 1, "maxItems": int(self.most)}
        return {"anyOf": [text, tokens, several]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> tuple[Prompt, ...]:
        if isinstance(value, str):
            return (self._prompt(value),)
        if not isinstance(value, list):
            raise wrong_type(_KINDS, value)
        if not value:
            raise refuse("empty_array", "the array must not be empty")
        if type(value[0]) in (int, float):
            return (_tokens(value),)
        if len(value) > int(self.most):
            raise refuse("array_above_max_length", f"at most {self.most} {self.noun}, but there are {len(value)}")
        return tuple(each(value, self._prompt))

    def _prompt(self, value: object) -> Prompt:
        if value == "" and not self.empty:
            raise refuse("invalid_value", "the string must not be empty")
        return _tokens(value) if isinstance(value, list) else text(value)


def _tokens(ids: list[object]) -> tuple[int, ...]:
    if not ids:
        raise refuse("empty_array", "the array must not be empty")
    return tuple(each(ids, _token))


def _token(value: object) -> int:
    token = value if type(value) is int else whole(value, "a token id")
    if not 0 <= token <= INT32_MAX:
        raise refuse("invalid_value", f"{show(token)} is no token id")
    return token


class CompletionSchema(SamplingSchema):
    prompt = Prompts(required=True)
    suffix = Prose()
    best_of = Integer(1, 20)
    echo = Boolean(load_default=False)
    logprobs = Logprobs()

    @validates_schema
    def judges(self, data: dict[str, Any], **kwargs: Any) -> None:
        best_of = data.setdefault("best_of", data["n"])
        if best_of < data["n"]:
            raise refuse("invalid_value", "must not be less than 'n'", name="best_of")
        if best_of > data["n"] and data["stream"]:
            raise refuse("invalid_value", "cannot be more than 'n' when 'stream' is true", name="best_of")
        for name in ("echo", "prompt_logprobs"):
            if data.get("suffix") and data.get(name, False) is not False:
                raise refuse("unsupported_value", "not supported together with 'suffix'", name=name)
        refuse_choices(len(data["prompt"]), best_of, "n" if best_of == data["n"] else "best_of")


class CompletionFormat(Format):
    """`Format` of completions."""

    name = "openai.completion"
    id_prefix = "cmpl-"
    schema = CompletionSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Completion, Options]:
        given = self.schema.read(body, config)
        chosen = sampling(given, seed, given.get("max_tokens", min(_MAX_TOKENS, config.max_tokens)))
        n, best_of, token_ids = given["n"], given["best_of"], given["return_token_ids"]
        suffix, echo = given.get("suffix") or None, given["echo"]
        task = FineCompletion(given["model"], given["prompt"], chosen, n, best_of, token_ids, echo, suffix)
        return task.simplest(), options(given)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        ledgers = Ledgers(partial(CompletionLedger, accepted.task, accepted.options))
        choices, used = fold(ledgers.noted(events))
        return {
            **head(job_id, accepted, _KIND),
            "choices": [
                {
                    "index": each.index,
                    "text": each.prompt_text + each.text,
                    "logprobs": ledgers.of(each.index).take(),
                    "finish_reason": each.finish_reason,
                    **token_ids(accepted.task, each.tokens),
                    **prompt_token_ids(each.prompt_tokens),
                    **ledgers.of(each.index).prompt.take(),
                }
                for each in choices
            ],
            "usage": usage(used),
            **_only_prompt(accepted.task, choices[0].prompt_tokens),
        }

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        task, opening = accepted.task, head(job_id, accepted, _KIND)
        assert isinstance(task, Completion), "what `parse` makes"
        so_far = UsageSoFar(options, len(task.prompt))
        ledgers = Ledgers(partial(CompletionLedger, task, options))
        exact = task.token_ids or so_far.continuous or task.sampling.logprobs is not None

        def chunk(
            index: int, text: str, told: Mapping[str, Any] = NOTHING_TOLD, reason: FinishReason | None = None
        ) -> dict[str, Any]:
            choice = {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
            return {
                **opening,
                "choices": [{**choice, **token_ids(task, ()), **told}],
                **so_far.of(index),
            }

        @cache
        def speaker(index: int) -> Callable[[str], bytes]:
            return cut(lambda text: chunk(index, text))

        def tell(piece: Delta) -> dict[str, Any]:
            """What the choice says of a piece beside its text."""
            told = {**prompt_token_ids(piece.prompt_tokens)}
            if piece.tokens:
                told |= token_ids(task, piece.tokens)
            if exact or piece.prompt_logprobs:
                ledger = ledgers.of(piece.index)
                ledger.add(piece)
                told |= {"logprobs": ledger.take()} if ledger else {}
                told |= ledger.prompt.take() if ledger.prompt else {}
            return told

        announce = announcer(task.choices if task.choices > 1 else 0)

        def say(piece: Delta) -> Iterator[bytes]:
            if piece is PAUSE:
                yield encode(chunk(0, ""))
                return
            for index in announce(piece.index):
                yield encode(chunk(index, ""))
            so_far.note(piece)
            text, told = piece.prompt_text + piece.text, tell(piece)
            if piece.finish_reason is not None or told or (text and exact):
                made = chunk(piece.index, text, told, piece.finish_reason)
                yield encode({**made, **_only_prompt(task, piece.prompt_tokens)})
            elif text:
                yield speaker(piece.index)(text)

        return render_frames(self, say, so_far, {**opening, "choices": []} if options.include_usage else None)

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)


def _only_prompt(task: Task, tokens: tuple[int, ...]) -> dict[str, Any]:
    """The ids of the answer's one prompt; where there are several, only the choices can tell theirs."""
    one = isinstance(task, Completion) and len(task.prompt) == 1
    return prompt_token_ids(tokens) if one else {}
