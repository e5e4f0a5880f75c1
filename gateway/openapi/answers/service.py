"""What a gateway tells of itself: its models, its jobs, how it is."""

from __future__ import annotations

from gateway.openapi.answers.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    either,
    nullable,
    page,
    record,
    ref,
    table,
    word,
)
from shared.agents import ModelState
from shared.protocol import State

_META = record(**dict.fromkeys(("n_ctx", "n_ctx_train", "n_embd", "n_params", "size"), nullable(COUNT)))
_ENDS = {"first_id": nullable(TEXT), "last_id": nullable(TEXT), "has_more": FLAG}
_HOW = {"models": array(TEXT), "unready": array(TEXT)}
SHAPES: dict[str, JsonSchema] = {
    "Model": record(
        id=TEXT,
        object=word("model"),
        created=SECONDS,
        owned_by=TEXT,
        root=TEXT,
        parent=nullable(TEXT),
        max_model_len=nullable(COUNT),
        status=record(value=TEXT),
        state=word(*ModelState),
        reason=nullable(TEXT),
        engine=nullable(TEXT),
        architecture=nullable(TEXT),
        quantisation=nullable(TEXT),
        capabilities=array(TEXT),
        dimensions=array(COUNT),
        slots=COUNT,
        sampling=table(NUMBER),
        meta=_META,
    ),
    "Job": record(
        {"owner": nullable(TEXT)},
        id=TEXT,
        object=word("job"),
        status=word(*State),
        model=TEXT,
        created_at=SECONDS,
        started_at=nullable(SECONDS),
        finished_at=nullable(SECONDS),
        queue_position=nullable(COUNT),
        estimated_wait=nullable(COUNT),
        tokens=COUNT,
        result={**ANYTHING, "description": "What the endpoint would have answered; null until it is completed."},
        error=nullable({**record(message=TEXT, type=TEXT, param=nullable(TEXT), code=nullable(TEXT))}),
    ),
    "Readiness": record({**_HOW, "on_demand": array(TEXT)}, status=word("ok", "ready")),
}
_UNREADY = record(_HOW, status=word("unready"), reason=TEXT)
_READY = Answered(ref("Readiness"), beside={503: _UNREADY})
ANSWERS: Answers = {
    ("GET", "/v1/models"): Answered(
        either(
            record(object=word("list"), data=array(ref("Model"))),
            record(data=array(ref("AnthropicModel")), **_ENDS),
        )
    ),
    ("GET", "/v1/models/{model}"): Answered(either(ref("Model"), ref("AnthropicModel"))),
    ("GET", "/v1/props"): Answered(
        record(
            default_generation_settings=record(n_ctx=nullable(COUNT)),
            total_slots=COUNT,
            model_alias=TEXT,
            build_info=TEXT,
        )
    ),
    ("GET", "/v1/jobs"): Answered(page(ref("Job"))),
    ("GET", "/v1/jobs/{job_id}"): Answered(ref("Job")),
    ("DELETE", "/v1/jobs/{job_id}"): Answered(ref("Job")),
    ("GET", "/v1/jobs/{job_id}/events"): Answered(OBJECT, either(OBJECT, array(OBJECT)), {204: None}),
    ("GET", "/openapi.json"): Answered(OBJECT),
    ("GET", "/"): Answered(
        record(
            {"message": TEXT, **_HOW},
            name=word("inferq"),
            base_url=TEXT,
            api_key=TEXT,
            curl=TEXT,
            python=TEXT,
            docs=table(TEXT),
        )
    ),
    ("GET", "/healthz"): Answered(record(status=word("ok"))),
    ("GET", "/readyz"): _READY,
    ("GET", "/health"): _READY,
    ("GET", "/ping"): _READY,
    ("POST", "/ping"): _READY,
    ("GET", "/version"): Answered(record(version=TEXT)),
}
