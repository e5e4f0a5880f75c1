"""The format of /v1/completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from marshmallow import fields, validates_schema

from gateway.schemas.answer import fold
from gateway.schemas.caps import MAX_CHOICES
from gateway.schemas.format import PAUSE, Format, Frames
from gateway.schemas.openai import (
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
from gateway.schemas.parameters import INT32_MAX, Integer, Only, Prose, each, text, whole
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
    """One prompt or several, as texts or as token ids."""

    @property
    def json_schema(self) -> dict[str, Any]:
        text, token = {"type": "string"}, {"type": "integer", "minimum": 0, "maximum": INT32_MAX}
        tokens = {"type": "array", "items": token, "minItems": 1}
        several = {"type": "array", "items": {"anyOf": [text, tokens]}, "minItems": 1, "maxItems": int(MAX_CHOICES)}
        return {"anyOf": [text, tokens, several]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> tuple[Prompt, ...]:
        if isinstance(value, str):
            return (text(value),)
        if not isinstance(value, list):
            raise wrong_type(_KINDS, value)
        if not value:
            raise refuse("empty_array", "the array must not be empty")
        if type(value[0]) in (int, float):
            return (_tokens(value),)
        if len(value) > int(MAX_CHOICES):
            raise refuse("array_above_max_length", f"at most {MAX_CHOICES} prompts, but there are {len(value)}")
        return tuple(each(value, _prompt))


def _prompt(value: object) -> Prompt:
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
    best_of = Integer(1, 20)
    suffix = Prose()

    # Not supported yet.
    echo = Only(False)
    logprobs = Only()

    @validates_schema
    def judges(self, data: dict[str, Any], **kwargs: Any) -> None:
        best_of = data.setdefault("best_of", data["n"])
        if best_of < data["n"]:
            raise refuse("invalid_value", "must not be less than 'n'", name="best_of")
        if best_of > data["n"] and data["stream"]:
            raise refuse("invalid_value", "cannot be more than 'n' when 'stream' is true", name="best_of")
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
        suffix = given.get("suffix") or None
        task = FineCompletion(given["model"], given["prompt"], chosen, n, best_of, token_ids, suffix=suffix)
        return task.simplest(), options(given)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        choices, used = fold(events)
        return {
            **head(job_id, accepted, _KIND),
            "choices": [
                _choice(accepted.task, each.index, each.text, each.finish_reason, each.tokens, each.prompt_tokens)
                for each in choices
            ],
            "usage": usage(used),
            **_only_prompt(accepted.task, choices[0].prompt_tokens),
        }

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        task, opening = accepted.task, head(job_id, accepted, _KIND)
        assert isinstance(task, Completion), "what `parse` makes"
        so_far = UsageSoFar(options, len(task.prompt))

        def chunk(choice: dict[str, Any]) -> dict[str, Any]:
            return {**opening, "choices": [choice], **so_far.of(choice["index"])}

        @cache
        def speaker(index: int) -> Callable[[str], bytes]:
            return cut(lambda text: chunk(_choice(task, index, text, None)))

        announce = announcer(task.choices if task.choices > 1 else 0)

        def say(piece: Delta) -> Iterator[bytes]:
            if piece is PAUSE:
                yield encode(chunk(_choice(task, 0, "", None)))
                return
            for index in announce(piece.index):
                yield encode(chunk(_choice(task, index, "", None)))
            so_far.note(piece)
            if piece.finish_reason is not None or (piece.text and (task.token_ids or so_far.continuous)):
                choice = _choice(task, piece.index, piece.text, piece.finish_reason, piece.tokens, piece.prompt_tokens)
                yield encode({**chunk(choice), **_only_prompt(task, piece.prompt_tokens)})
            elif piece.text:
                yield speaker(piece.index)(piece.text)

        return render_frames(self, say, so_far, {**opening, "choices": []} if options.include_usage else None)

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)


def _choice(
    task: Task,
    index: int,
    text: str,
    finish_reason: FinishReason | None,
    tokens: Sequence[int] = (),
    prompt_tokens: tuple[int, ...] = (),
) -> dict[str, Any]:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {**choice, **token_ids(task, tokens), **prompt_token_ids(prompt_tokens)}


def _only_prompt(task: Task, tokens: tuple[int, ...]) -> dict[str, Any]:
    """The ids of the answer's one prompt; where there are several, only the choices can tell theirs."""
    one = isinstance(task, Completion) and len(task.prompt) == 1
    return prompt_token_ids(tokens) if one else {}
