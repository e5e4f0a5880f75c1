"""The format of /v1/infill: llama.cpp's way to have a gap in a text filled, as editors ask for it."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, assert_never

from marshmallow import validates_schema
from msgspec.structs import replace

from gateway.schemas.fine_sampling import ALIASES
from gateway.schemas.format import PAUSE, Format, Frame, Frames
from gateway.schemas.infill_answer import Ends, render
from gateway.schemas.objects import Lenient, Member
from gateway.schemas.openai import encode, render_failure
from gateway.schemas.outcomes import failure, outcome
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Number, Only, Prose, Text, Word
from gateway.schemas.problem import refuse
from gateway.schemas.sampling import SamplingSchema, options, refuse_choices, sampling
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import (
    SAMPLERS,
    Accepted,
    Delta,
    Done,
    Event,
    Failed,
    FineCompletion,
    Options,
    Passage,
    Progress,
    StartOver,
    Told,
)

MOST_PASSAGES = 256
"""Objects in `input_extra`."""
LONGEST_FILE_NAME = 4096
"""Characters of the name of a file, which is a path."""
MOST_FIELDS = 64
"""Strings in `response_fields`."""


_LIMITS = ("max_tokens", *(alias for alias, name in ALIASES.items() if name == "max_tokens"))


class PassageSchema(Lenient):
    """A part of a file; editors put into it what is of use to themselves."""

    text = Prose(required=True)
    filename = Text(longest=LONGEST_FILE_NAME, load_default="tmp")


class InfillSchema(SamplingSchema):
    model = Text()
    input_prefix = Prose(required=True)
    input_suffix = Prose(required=True)
    input_extra = Array(Member(PassageSchema), 0, MOST_PASSAGES)
    prompt = Prose(load_default="")

    n = n_cmpl = Integer(1, 128)
    n_indent = Integer(0, INT32_MAX, load_default=0)
    t_max_predict_ms = Integer(-1, INT32_MAX, load_default=0)  # type: ignore[assignment]  # here it is supported
    samplers = Array(Word(*SAMPLERS, "infill"), 0, len(SAMPLERS) + 1)
    return_tokens = Boolean(load_default=False)
    response_fields = Array(Text(), 0, MOST_FIELDS)

    # Slots are the engine's; the time for the prompt is bounded by llama.cpp's own server neither.
    id_slot = Ignored(Integer(-1, INT32_MAX))  # type: ignore[assignment]  # elsewhere it has one value
    n_cache_reuse = Ignored(Integer(0, INT32_MAX))
    t_max_prompt_ms = Ignored(Number(-1, INT32_MAX))
    sse_ping_interval = Ignored(Integer(-1, INT32_MAX))

    # Not supported here: at these values they ask for nothing.
    n_probs = Only(0)  # type: ignore[assignment]  # elsewhere it is supported
    prompt_logprobs = Only()  # type: ignore[assignment]  # and so is this

    @validates_schema
    def scores(self, data: dict[str, Any], **kwargs: Any) -> None:
        """In the place of what log probabilities ask for, which are not told here."""
        choices = data.setdefault("n_cmpl", data.get("n", 1))
        if data.get("n", choices) != choices:
            raise refuse("invalid_value", "it is another name of 'n_cmpl', which has another value", name="n")
        refuse_choices(1, choices, "n_cmpl")
        reads = any(data.get(name) == 0 for name in _LIMITS)
        if data.get("samplers") == [] and not reads:
            raise refuse("empty_array", "the array must not be empty", name="samplers")


class InfillFormat(Format):
    """`Format` of infill: a stream is of the same objects as a whole answer, each with a piece of the text."""

    name = "llama.cpp.infill"
    id_prefix = "infill-"
    parameters = MappingProxyType({"prompt": "input_prefix", "suffix": "input_suffix", "max_tokens": "n_predict"})
    schema = InfillSchema(exclude=("stream_options", "return_token_ids"))

    def parse(self, body: object, seed: int, config: Config) -> tuple[FineCompletion, Options]:
        given = self.schema.read(body, config)
        task = FineCompletion(
            given.get("model", ""),
            (given["input_prefix"],),
            sampling(given, seed, given.get("max_tokens", config.usual_max_tokens)),
            given["n_cmpl"],
            token_ids=given["return_tokens"],
            suffix=given["input_suffix"],
            beside=tuple(Passage(each["filename"], each["text"]) for each in given.get("input_extra", ())),
            line=given["prompt"],
            trims=True,
            indent=given["n_indent"],
            line_ms=max(0, given["t_max_predict_ms"]),
        )
        return task, replace(options(given), fields=tuple(given.get("response_fields", ())))

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> Any:
        return render(accepted, events)

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        ends = Ends(accepted)

        def frames(event: Event) -> Iterable[Frame]:
            ends.note(event)
            match event:
                case Delta() if event.text or event is PAUSE:
                    return (Frame(encode(ends.part(event))),)
                case Delta() | Progress():
                    return ()
                case Done():
                    return map(Frame, map(encode, ends.last()))
                case Failed():
                    error = failure(event, self.parameters)
                    return (Frame(encode(self.render_failure(error, outcome(error.code).status))),)
                case Told():
                    raise AssertionError("these are no parts of a text")
                case StartOver():
                    raise AssertionError("nothing is taken back of what is read as it comes")
                case _:
                    assert_never(event)

        return frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
