"""The requests of Claude Code 2.1.328, with other words: what it sends of itself beside what is said."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx

BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,effort-2025-11-24"
HEADERS = {
    "user-agent": "claude-cli/2.1.328 (external, sdk-cli)",
    "x-app": "cli",
    "x-api-key": "none",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": f"{BETAS},mid-conversation-tool-changes-2026-07-01,thinking-display-updates-2026-08-18",
    "anthropic-dangerous-direct-browser-access": "true",
}
REMEMBERED = {"cache_control": {"type": "ephemeral"}}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"command": {"type": "string"}, "timeout": {"type": "number", "description": "milliseconds"}},
    "required": ["command"],
    "additionalProperties": False,
}
BODY: dict[str, Any] = {
    "model": "echo",
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.b7f; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "An agent.", **REMEMBERED},
        {"type": "text", "text": "\nOne that edits files.", **REMEMBERED},
    ],
    "tools": [{"name": "Bash", "description": "Runs a command", "input_schema": SCHEMA}],
    "metadata": {"user_id": '{"device_id":"b276","account_uuid":"","session_id":"b1e7"}'},
    "max_tokens": 32000,
    "thinking": {"type": "adaptive", "display": "updates"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}
IGNORED = {"system", "metadata", "context_management"}
WHERE = {"role": "system", "content": [{"type": "text", "text": "# Environment\nLinux", **REMEMBERED}]}
"""It tells this after what was said first."""
CALL = '{"name": "Bash", "arguments": {"command": "ls"}}'


def ask(http: httpx.Client, *messages: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The blocks of the answer, put together from the stream, and why it has ended."""
    body = {**BODY, "messages": [*messages]}
    blocks, reason = list[dict[str, Any]](), ""
    with http.stream("POST", "/v1/messages?beta=true", json=body, headers=HEADERS) as answer:
        assert answer.status_code == 200, answer.read()
        assert {name.strip() for name in answer.headers["x-inferq-ignored"].split(",")} == IGNORED
        told = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        for event in map(json.loads, told):
            match event["type"]:
                case "content_block_start":
                    blocks.append({**event["content_block"], "said": ""})
                case "content_block_delta":
                    [said] = [value for name, value in event["delta"].items() if name != "type"]
                    blocks[-1]["said"] += said if event["delta"]["type"] != "signature_delta" else ""
                case "message_delta":
                    reason = event["delta"]["stop_reason"]
    return blocks, reason


def test_a_call_and_what_comes_of_it(http: httpx.Client) -> None:
    asked = {"role": "user", "content": CALL}
    (thought, called), reason = ask(http, asked, WHERE)
    assert (thought["type"], called["type"], called["name"], reason) == ("thinking", "tool_use", "Bash", "tool_use")
    assert called["said"] == '{"command": "ls"}'
    result = {"type": "tool_result", "tool_use_id": called["id"], "content": "a.py", "is_error": False, **REMEMBERED}
    turns = [
        {"type": "thinking", "thinking": thought["said"], "signature": "c2lnbmVk"},
        {
            "type": "tool_use",
            "id": called["id"],
            "name": "Bash",
            "input": {"command": "ls"},
            "caller": called["caller"],
        },
    ]
    (_, told), reason = ask(
        http, asked, WHERE, {"role": "assistant", "content": turns}, {"role": "user", "content": [result]}
    )
    assert (told["type"], told["said"], reason) == ("text", "a.py", "end_turn")


def test_a_reminder_before_what_is_said(http: httpx.Client) -> None:
    reminder = {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>\n"}
    said = {"role": "user", "content": [reminder, {"type": "text", "text": "hello", **REMEMBERED}]}
    (_, told), reason = ask(http, said, WHERE)
    assert told["said"].endswith("hello")
    assert reason == "end_turn"
