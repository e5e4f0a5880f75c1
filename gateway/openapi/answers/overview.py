"""What the overview tells."""

from __future__ import annotations

from gateway.offers import Readiness
from gateway.openapi.answers.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    SECONDS,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    nullable,
    record,
    ref,
    table,
    word,
)
from shared.history import COUNTS, GAUGES
from shared.ticket import Tier

_TIME: JsonSchema = {"type": "number", "minimum": 0, "description": "Unix time, in seconds and parts of them."}
_QUANTILES = nullable(record(p50=NUMBER, p95=NUMBER))
_TIMES = ("first_token", "queue_wait", "tokens_per_second")
_MINUTE = record(**dict.fromkeys(COUNTS, COUNT), **dict.fromkeys(_TIMES, _QUANTILES))
_SERIES = record(
    **dict.fromkeys(COUNTS, array(COUNT)),
    **dict.fromkeys(GAUGES, array(nullable(NUMBER))),
    **{f"{name}_{which}": array(nullable(NUMBER)) for name in _TIMES for which in ("p50", "p95")},
)
_JOB = record(
    id=TEXT,
    model=TEXT,
    owner=nullable(TEXT),
    tier=TEXT,
    state=word("running", "queued"),
    position=nullable(COUNT),
    created=_TIME,
    started=nullable(_TIME),
    tokens=COUNT,
    worker=nullable(TEXT),
)
_FAILURE = record(at=_TIME, job=TEXT, model=TEXT, owner=nullable(TEXT), code=TEXT, message=TEXT)
SHAPES: dict[str, JsonSchema] = {
    "OverviewModel": record(
        id=TEXT,
        status=word(*Readiness),
        abilities=array(TEXT),
        slots=COUNT,
        busy=COUNT,
        workers=COUNT,
        unready_workers=COUNT,
        queued=record(**dict.fromkeys(Tier, COUNT)),
        running=COUNT,
        next_wait=nullable({**NUMBER, "description": "Seconds that a request would wait which came now."}),
        minute=_MINUTE,
    ),
    "OverviewWorker": record(
        name=TEXT,
        model=TEXT,
        host=TEXT,
        pid=COUNT,
        state=word("ready", "not_ready"),
        reason=nullable(TEXT),
        engine=nullable(TEXT),
        slots=COUNT,
        busy=COUNT,
        threads=nullable(COUNT),
        memory_bytes=nullable(COUNT),
        load=nullable({**NUMBER, "description": "Cores that it and its engine use."}),
        uptime=COUNT,
        version=TEXT,
        context=nullable(COUNT),
        quantisation=nullable(TEXT),
    ),
    "History": record(step=COUNT, **{"from": SECONDS}, models=table(_SERIES)),
    "Overview": record(
        {"history": ref("History"), "history_tail": ref("History")},
        object=word("overview"),
        at=_TIME,
        admin=FLAG,
        version=TEXT,
        models=array(ref("OverviewModel")),
        workers=array(ref("OverviewWorker")),
        jobs=record(running=array(_JOB), queued=array(_JOB), more_running=COUNT, more_queued=COUNT),
        failures=array(_FAILURE),
        gateways=array(record(host=TEXT, pid=COUNT, uptime=COUNT, ready=FLAG, reason=nullable(TEXT), version=TEXT)),
    ),
}
ANSWERS: Answers = {
    ("GET", "/v1/overview"): Answered(ref("Overview")),
    ("GET", "/v1/overview/events"): Answered(ref("Overview"), ref("Overview")),
}
