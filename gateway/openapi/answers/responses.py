"""Responses, their items and events, and conversations, as OpenAI tells them."""

from __future__ import annotations

from gateway.openapi.answers.chats import TIER
from gateway.openapi.answers.shapes import (
    COUNT,
    FLAG,
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

_HOW = word("in_progress", "completed", "incomplete")
_SPOKEN = record(
    type=word("output_text"),
    text=TEXT,
    annotations=array(OBJECT, maxItems=0),
    logprobs=array(ref("TokenLogprob")),
)
_FILE = record({"filename": TEXT, "file_id": TEXT, "file_data": TEXT}, type=word("input_file"))
_GIVEN = either(record(type=word("input_text"), text=TEXT), _FILE)
_REFUSED = record(type=word("refusal"), refusal=TEXT)
_SUMMARY, _THOUGHT = record(type=word("summary_text"), text=TEXT), record(type=word("reasoning_text"), text=TEXT)
_RESULT = either(TEXT, array(_GIVEN))
_CALL = {"id": TEXT, "call_id": TEXT, "name": TEXT}


def _item(kind: str, more: JsonSchema | None = None, /, **told: JsonSchema) -> JsonSchema:
    return record(more, type=word(kind), id=TEXT, **told)


_SAID = _item(
    "message",
    {"phase": word("commentary", "final_answer")},
    role=word("assistant"),
    content=array(either(_SPOKEN, _REFUSED)),
    status=_HOW,
)
_TOLD = _item("message", role=word("user", "system", "developer"), content=array(_GIVEN), status=_HOW)
_REASONING = _item(
    "reasoning",
    {"encrypted_content": NOTHING},
    summary=array(_SUMMARY),
    content=array(_THOUGHT),
    status=_HOW,
)
_FUNCTION = _item("function_call", call_id=TEXT, name=TEXT, arguments=TEXT, status=_HOW)
_CUSTOM = _item("custom_tool_call", call_id=TEXT, name=TEXT, input=TEXT, status=_HOW)
_COMPACTION = _item("compaction", encrypted_content=TEXT)
_FORM = either(
    record(type=word("text", "json_object")),
    record(type=word("json_schema"), name=TEXT, description=nullable(TEXT), schema=either(OBJECT, FLAG), strict=FLAG),
)
_TOOL = either(
    record(type=word("function"), name=TEXT, description=nullable(TEXT), parameters=OBJECT, strict=FLAG),
    record({"description": TEXT}, type=word("custom"), name=TEXT, format=OBJECT),
)
USAGE = record(
    input_tokens=COUNT,
    input_tokens_details=record(cached_tokens=COUNT, cache_write_tokens=COUNT),
    output_tokens=COUNT,
    output_tokens_details=record(reasoning_tokens=COUNT),
    total_tokens=COUNT,
)
_RESPONSE = record(
    id=TEXT,
    object=word("response"),
    created_at=SECONDS,
    completed_at=nullable(SECONDS),
    status=word("queued", "in_progress", "completed", "incomplete", "failed", "cancelled"),
    background=FLAG,
    error=nullable(record(code=TEXT, message=TEXT, param=nullable(TEXT), type=TEXT)),
    incomplete_details=nullable(record(reason=word("max_output_tokens"))),
    model=TEXT,
    output=array(ref("OutputItem")),
    service_tier=TIER,
    store=FLAG,
    usage=nullable(USAGE),
    instructions=nullable(either(TEXT, array(ref("Item")))),
    max_output_tokens=nullable(COUNT),
    max_tool_calls=nullable(COUNT),
    parallel_tool_calls=FLAG,
    previous_response_id=nullable(TEXT),
    conversation=nullable(record(id=TEXT)),
    prompt_cache_key=nullable(TEXT),
    prompt_cache_retention=nullable(TEXT),
    safety_identifier=nullable(TEXT),
    user=nullable(TEXT),
    metadata=table(TEXT),
    reasoning=record(effort=nullable(TEXT), summary=nullable(TEXT)),
    text=record(format=_FORM, verbosity=TEXT),
    tools=array(_TOOL),
    tool_choice=either(TEXT, OBJECT),
    top_logprobs=COUNT,
    truncation=word("auto", "disabled"),
    temperature=NUMBER,
    top_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
)
_IN_ITEM = {"item_id": TEXT, "output_index": COUNT}
_IN_PART = {**_IN_ITEM, "content_index": COUNT}
_IN_SUMMARY = {**_IN_ITEM, "summary_index": COUNT}


def _event(*kinds: str, more: JsonSchema | None = None, **told: JsonSchema) -> JsonSchema:
    return record(more, type=word(*(f"response.{kind}" for kind in kinds)), sequence_number=COUNT, **told)


_STATES = ("created", "queued", "in_progress", "completed", "incomplete", "failed")
_CALLS = ("function_call_arguments", "custom_tool_call_input")
_EVENTS = either(
    _event(*_STATES, response=ref("Response")),
    _event("output_item.added", "output_item.done", output_index=COUNT, item=ref("OutputItem")),
    _event("content_part.added", "content_part.done", **_IN_PART, part=either(_SPOKEN, _THOUGHT)),
    _event(
        *("reasoning_summary_part.added", "reasoning_summary_part.done"),
        more={"status": word("incomplete")},
        **_IN_SUMMARY,
        part=_SUMMARY,
    ),
    _event("output_text.delta", **_IN_PART, delta=TEXT, logprobs=array(ref("TokenLogprob"))),
    _event("output_text.done", **_IN_PART, text=TEXT, logprobs=array(ref("TokenLogprob"))),
    _event("reasoning_text.delta", **_IN_PART, delta=TEXT),
    _event("reasoning_text.done", **_IN_PART, text=TEXT),
    _event("reasoning_summary_text.delta", **_IN_SUMMARY, delta=TEXT),
    _event("reasoning_summary_text.done", **_IN_SUMMARY, text=TEXT),
    _event(*(f"{call}.delta" for call in _CALLS), **_IN_ITEM, delta=TEXT),
    _event("function_call_arguments.done", **_IN_ITEM, arguments=TEXT, name=TEXT),
    _event("custom_tool_call_input.done", **_IN_ITEM, input=TEXT),
)
SHAPES: dict[str, JsonSchema] = {
    "OutputItem": either(_SAID, _REASONING, _FUNCTION, _CUSTOM),
    "Item": either(
        ref("OutputItem"),
        _TOLD,
        _item("function_call_output", call_id=TEXT, output=_RESULT, status=_HOW),
        _item("custom_tool_call_output", call_id=TEXT, output=_RESULT, status=_HOW),
        _COMPACTION,
    ),
    "Response": _RESPONSE,
    "ResponseEvent": _EVENTS,
    "Conversation": record(id=TEXT, object=word("conversation"), created_at=SECONDS, metadata=table(TEXT)),
}
_RESPONSES, _CONVERSATION = "/v1/responses", "/v1/conversations/{conversation_id}"
_ONE, _ITEM = f"{_RESPONSES}/{{response_id}}", f"{_CONVERSATION}/items/{{item_id}}"
ANSWERS: Answers = {
    ("POST", _RESPONSES): Answered(ref("Response"), ref("ResponseEvent")),
    ("GET", _ONE): Answered(ref("Response"), ref("ResponseEvent")),
    ("POST", f"{_ONE}/cancel"): Answered(ref("Response")),
    ("DELETE", _ONE): Answered(deleted("response")),
    ("GET", f"{_ONE}/input_items"): Answered(page(ref("Item"))),
    ("POST", f"{_RESPONSES}/compact"): Answered(
        record(
            id=TEXT,
            object=word("response.compaction"),
            created_at=SECONDS,
            output=array(either(_TOLD, _COMPACTION)),
            usage=USAGE,
        )
    ),
    ("POST", "/v1/conversations"): Answered(ref("Conversation")),
    ("GET", _CONVERSATION): Answered(ref("Conversation")),
    ("POST", _CONVERSATION): Answered(ref("Conversation")),
    ("DELETE", _CONVERSATION): Answered(deleted("conversation.deleted")),
    ("GET", f"{_CONVERSATION}/items"): Answered(page(ref("Item"))),
    ("POST", f"{_CONVERSATION}/items"): Answered(page(ref("Item"))),
    ("GET", _ITEM): Answered(ref("Item")),
    ("DELETE", _ITEM): Answered(ref("Conversation")),
}
