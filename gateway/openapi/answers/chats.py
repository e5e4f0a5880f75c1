"""What is generated, as OpenAI's chats and completions tell it, and llama.cpp's infill."""

from __future__ import annotations

from gateway.openapi.answers.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    INTEGER,
    NOTHING,
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    deleted,
    either,
    nullable,
    page,
    record,
    ref,
    table,
    word,
)

TIER = word("priority", "default", "flex")
_COUNTS = {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}
_DETAILS = {
    "prompt_tokens_details": record(cached_tokens=COUNT, audio_tokens=COUNT),
    "completion_tokens_details": record(
        reasoning_tokens=COUNT, audio_tokens=COUNT, accepted_prediction_tokens=COUNT, rejected_prediction_tokens=COUNT
    ),
}
_TOKEN = {"token": TEXT, "logprob": NUMBER, "bytes": array(COUNT)}
TOKEN = record(**_TOKEN, top_logprobs=array(record(**_TOKEN)))
"""How likely a token was, and what might have come in its place."""
_RANKED = table(record(logprob=NUMBER, rank=nullable(COUNT), decoded_token=TEXT))
_PROMPT = {"prompt_token_ids": array(COUNT), "prompt_logprobs": array(nullable(_RANKED))}
"""What is told of a prompt where it is asked for."""
_FUNCTION, _CUSTOM = record(name=TEXT, arguments=TEXT), record(name=TEXT, input=TEXT)
_CALL = either(
    record(id=TEXT, type=word("function"), function=_FUNCTION), record(id=TEXT, type=word("custom"), custom=_CUSTOM)
)
_LOGPROBS = nullable(
    record({"reasoning_content": array(ref("TokenLogprob"))}, content=array(ref("TokenLogprob")), refusal=NOTHING)
)
_END = word("stop", "length", "tool_calls", "function_call")
_MESSAGE = record(
    {"reasoning_content": TEXT, "tool_calls": array(_CALL), "function_call": _FUNCTION},
    role=word("assistant"),
    content=nullable(TEXT),
    refusal=NOTHING,
)
_STORED = {
    "metadata": table(TEXT),
    "request_id": TEXT,
    "input_user": nullable(TEXT),
    "seed": INTEGER,
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), NUMBER),
    **dict.fromkeys(("tools", "tool_choice", "response_format"), ANYTHING),
}
"""What is told of a request whose chat is stored."""
_PIECES = {
    "index": COUNT,
    "id": TEXT,
    "type": word("function", "custom"),
    "function": record({"name": TEXT, "arguments": TEXT}),
    "custom": record({"name": TEXT, "input": TEXT}),
}
_DELTA = {
    "role": word("assistant"),
    "content": nullable(TEXT),
    "reasoning_content": TEXT,
    "tool_calls": array({**record(_PIECES), "required": ["index"]}),
    "function_call": record({"name": TEXT, "arguments": TEXT}),
}


def _generated(kind: str, choice: JsonSchema, more: JsonSchema, **told: JsonSchema) -> JsonSchema:
    """What the head of every answer and chunk begins."""
    begun = {"id": TEXT, "object": word(kind), "created": SECONDS, "model": TEXT, "service_tier": TIER}
    return record(more, **begun, system_fingerprint=nullable(TEXT), choices=array(choice), **told)


_CHUNK_USAGE = {"usage": nullable(record(_DETAILS, **_COUNTS))}
_SCORES = nullable(
    record(
        tokens=array(TEXT),
        token_logprobs=array(nullable(NUMBER)),
        top_logprobs=array(nullable(table(NUMBER))),
        text_offset=array(COUNT),
    )
)
_TEXT_CHOICE = {"index": COUNT, "text": TEXT, "logprobs": _SCORES, "finish_reason": nullable(word("stop", "length"))}
_TEXT_MORE = {"token_ids": array(COUNT), **_PROMPT}
_INFILL: JsonSchema = {
    "index": COUNT,
    "content": TEXT,
    "tokens": array(COUNT),
    "stop": FLAG,
    "tokens_predicted": COUNT,
    "tokens_evaluated": COUNT,
    "model": TEXT,
    "generation_settings": record(seed=INTEGER),
    "has_new_line": FLAG,
    "truncated": FLAG,
    "stop_type": word("limit", "word", "eos"),
    "stopping_word": TEXT,
    "tokens_cached": COUNT,
    "timings": table(NUMBER),
}
SHAPES: dict[str, JsonSchema] = {
    "TokenLogprob": TOKEN,
    "Usage": record(**_COUNTS, **_DETAILS),
    "ChatCompletion": _generated(
        "chat.completion",
        record({"token_ids": array(COUNT)}, index=COUNT, message=_MESSAGE, logprobs=_LOGPROBS, finish_reason=_END),
        {**_PROMPT, **_STORED},
        usage=ref("Usage"),
    ),
    "ChatCompletionChunk": _generated(
        "chat.completion.chunk",
        record(
            {"token_ids": array(COUNT)},
            index=COUNT,
            delta=record(_DELTA),
            logprobs=_LOGPROBS,
            finish_reason=nullable(_END),
        ),
        {**_PROMPT, **_CHUNK_USAGE},
    ),
    "Completion": _generated(
        "text_completion", record(_TEXT_MORE, **_TEXT_CHOICE), {"prompt_token_ids": array(COUNT)}, usage=ref("Usage")
    ),
    "CompletionChunk": _generated(
        "text_completion",
        record(_TEXT_MORE, **_TEXT_CHOICE),
        {"prompt_token_ids": array(COUNT), **_CHUNK_USAGE},
    ),
    "Infill": record(_INFILL),
}
_STORED_MESSAGE = record(
    {"tool_calls": ANYTHING, "tool_call_id": ANYTHING},
    id=TEXT,
    role=TEXT,
    content=nullable(TEXT),
    name=nullable(TEXT),
    content_parts=nullable(array(OBJECT)),
)
_STORED_MESSAGE["additionalProperties"] = True  # it is told as it came
_ONE = "/v1/chat/completions/{chat_id}"
ANSWERS: Answers = {
    ("POST", "/v1/chat/completions"): Answered(ref("ChatCompletion"), either(ref("ChatCompletionChunk"), ref("Error"))),
    ("POST", "/v1/completions"): Answered(ref("Completion"), either(ref("CompletionChunk"), ref("Error"))),
    ("POST", "/v1/infill"): Answered(
        either(ref("Infill"), array(ref("Infill"), minItems=2)), either(ref("Infill"), ref("Error"))
    ),
    ("GET", "/v1/chat/completions"): Answered(page(ref("ChatCompletion"))),
    ("GET", _ONE): Answered(ref("ChatCompletion")),
    ("POST", _ONE): Answered(ref("ChatCompletion")),
    ("DELETE", _ONE): Answered(deleted("chat.completion.deleted")),
    ("GET", f"{_ONE}/messages"): Answered(page(_STORED_MESSAGE)),
}
