"""The wire format of /v1/completions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from marshmallow import fields

from gateway.schemas.answer import fold, head, pieces, usage
from gateway.schemas.parameters import INT32_MAX, Integer, Only, text
from gateway.schemas.problem import refuse
from gateway.schemas.sampling import SamplingSchema, options, sampling
from gateway.schemas.wire import Chunks, Options
from shared.protocol import Accepted, Completion, Delta, Done, Event, FinishReason

_KIND = "text_completion"


class Prompt(fields.Field[str]):
    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, list):
            raise refuse("unsupported_value", "only one string is supported, not an array")
        return text(value)


class CompletionSchema(SamplingSchema):
    prompt = Prompt(required=True)
    max_tokens = Integer(1, INT32_MAX, load_default=16)

    # Not supported yet.
    best_of = Only(1)
    echo = Only(False)
    logprobs = Only()
    suffix = Only("")


_SCHEMA = CompletionSchema()


class CompletionFormat:
    """`WireFormat` of completions."""

    id_prefix = "cmpl-"

    def parse(self, body: object, seed: int) -> tuple[Completion, Options]:
        given = _SCHEMA.read(body)
        task = Completion(given["model"], given["prompt"], sampling(given, seed, given["max_tokens"]))
        return task, options(given)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        choices, used = fold(events)
        return {
            **head(job_id, accepted, _KIND),
            "choices": [_choice(choice.index, choice.text, choice.finish_reason) for choice in choices],
            "usage": usage(used),
        }

    def render_chunks(self, job_id: str, accepted: Accepted, include_usage: bool) -> Chunks:
        opening = head(job_id, accepted, _KIND)
        closing = {"usage": None} if include_usage else {}

        def chunks(event: Event) -> Iterator[dict[str, Any]]:
            for piece in pieces((event,)):
                match piece:
                    case Delta():
                        if piece.text or piece.finish_reason is not None:
                            choice = _choice(piece.index, piece.text, piece.finish_reason)
                            yield {**opening, "choices": [choice], **closing}
                    case Done():
                        if include_usage:
                            yield {**opening, "choices": [], "usage": usage(piece.usage)}
                    case _:
                        assert_never(piece)

        return chunks


def _choice(index: int, text: str, finish_reason: FinishReason | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
