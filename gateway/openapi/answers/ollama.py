"""What Ollama's API tells."""

from __future__ import annotations

from gateway.openapi.answers.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    either,
    record,
    ref,
    table,
    word,
)

_TIME: JsonSchema = {"type": "string", "format": "date-time"}
_HEAD = {"model": TEXT, "created_at": _TIME}
_LIKELY = {"token": TEXT, "logprob": NUMBER, "bytes": array(COUNT)}
_LIKELIHOODS = {"logprobs": array(record(**_LIKELY, top_logprobs=array(record(**_LIKELY))))}
_NANO: JsonSchema = {**COUNT, "description": "Nanoseconds."}
_ENDED = {
    **_LIKELIHOODS,
    "done_reason": word("stop", "length", "load", "unload"),
    **dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), _NANO),
    **dict.fromkeys(("prompt_eval_count", "eval_count"), COUNT),
}
_CALL = record(id=TEXT, function=record(index=COUNT, name=TEXT, arguments=OBJECT))
_MESSAGE = record({"thinking": TEXT, "tool_calls": array(_CALL)}, role=word("assistant"), content=TEXT)
_DETAILS = record(
    parent_model=TEXT,
    format=TEXT,
    family=TEXT,
    families=array(TEXT),
    parameter_size=TEXT,
    quantization_level=TEXT,
)
_MODEL = {"name": TEXT, "model": TEXT, "size": COUNT, "digest": TEXT, "details": _DETAILS}
SHAPES: dict[str, JsonSchema] = {
    "OllamaChat": record(_ENDED, **_HEAD, message=_MESSAGE, done=FLAG),
    "OllamaText": record({**_ENDED, "thinking": TEXT, "context": array(COUNT)}, **_HEAD, response=TEXT, done=FLAG),
}
ANSWERS: Answers = {
    ("POST", "/api/chat"): Answered(ref("OllamaChat"), either(ref("OllamaChat"), ref("OllamaError"))),
    ("POST", "/api/generate"): Answered(ref("OllamaText"), either(ref("OllamaText"), ref("OllamaError"))),
    ("POST", "/api/embed"): Answered(record({"prompt_eval_count": COUNT}, model=TEXT, embeddings=array(array(NUMBER)))),
    ("POST", "/api/embeddings"): Answered(record(embedding=array(NUMBER))),
    ("GET", "/api/tags"): Answered(record(models=array(record(**_MODEL, modified_at=_TIME, capabilities=array(TEXT))))),
    ("GET", "/api/ps"): Answered(
        record(models=array(record(**_MODEL, expires_at=_TIME, size_vram=COUNT, context_length=COUNT)))
    ),
    ("POST", "/api/show"): Answered(
        record(
            modelfile=TEXT,
            parameters=TEXT,
            template=TEXT,
            details=_DETAILS,
            model_info=table(either(TEXT, COUNT)),
            capabilities=array(TEXT),
            modified_at=_TIME,
        )
    ),
    ("POST", "/api/pull"): Answered(record(status=TEXT), either(record(status=TEXT), ref("OllamaError"))),
    ("GET", "/api/version"): Answered(record(version=TEXT, inferq=TEXT)),
}
