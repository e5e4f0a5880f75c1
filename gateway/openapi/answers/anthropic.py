"""Messages and their events, as Anthropic tells them."""

from __future__ import annotations

from gateway.openapi.answers.shapes import (
    COUNT,
    NOTHING,
    OBJECT,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    either,
    nullable,
    record,
    ref,
    word,
)

_COUNTS = {
    "input_tokens": COUNT,
    "cache_creation_input_tokens": COUNT,
    "cache_read_input_tokens": COUNT,
    "output_tokens": COUNT,
    "output_tokens_details": record(thinking_tokens=COUNT),
}
_ELSEWHERE = {"cache_creation": NOTHING, "inference_geo": NOTHING, "server_tool_use": NOTHING}
_ENDED = {
    "stop_reason": nullable(word("end_turn", "max_tokens", "tool_use", "stop_sequence")),
    "stop_sequence": nullable(TEXT),
    "stop_details": NOTHING,
}
_BLOCK = either(
    record(type=word("text"), text=TEXT, citations=array(OBJECT, maxItems=0)),
    record(type=word("thinking"), thinking=TEXT, signature=TEXT),
    record(type=word("tool_use"), id=TEXT, name=TEXT, input=OBJECT, caller=record(type=word("direct"))),
)
_PIECE = either(
    record(type=word("text_delta"), text=TEXT),
    record(type=word("thinking_delta"), thinking=TEXT),
    record(type=word("signature_delta"), signature=TEXT),
    record(type=word("input_json_delta"), partial_json=TEXT),
)
SHAPES: dict[str, JsonSchema] = {
    "ContentBlock": _BLOCK,
    "Message": record(
        id=TEXT,
        type=word("message"),
        role=word("assistant"),
        model=TEXT,
        content=array(ref("ContentBlock")),
        container=NOTHING,
        usage=record(**_COUNTS, **_ELSEWHERE, service_tier=word("priority", "standard")),
        **_ENDED,
    ),
    "MessageEvent": either(
        record(type=word("message_start"), message=ref("Message")),
        record(type=word("content_block_start"), index=COUNT, content_block=ref("ContentBlock")),
        record(type=word("content_block_delta"), index=COUNT, delta=_PIECE),
        record(type=word("content_block_stop"), index=COUNT),
        record(type=word("message_delta"), delta=record(**_ENDED), usage=record(**_COUNTS)),
        record(type=word("message_stop", "ping")),
        ref("AnthropicError"),
    ),
    "AnthropicModel": record(
        type=word("model"),
        id=TEXT,
        display_name=TEXT,
        created_at={"type": "string", "format": "date-time"},
        lifecycle=word("active"),
        max_input_tokens=nullable(COUNT),
        max_tokens=nullable(COUNT),
    ),
}
ANSWERS: Answers = {
    ("POST", "/v1/messages"): Answered(ref("Message"), ref("MessageEvent")),
    ("POST", "/v1/messages/count_tokens"): Answered(record(input_tokens=COUNT)),
}
