"""Errors, as they are told: in OpenAI's words, and at their endpoints in Anthropic's and Ollama's."""

from __future__ import annotations

from gateway.openapi.answers.shapes import TEXT, JsonSchema, nullable, record, word

ERRORS: dict[str, JsonSchema] = {
    "Error": record(
        error=record(
            message={**TEXT, "description": "What is wrong, and what to do, in words."},
            type=word("invalid_request_error", "rate_limit_error", "server_error"),
            param={**nullable(TEXT), "description": "The parameter that it is about."},
            code={**TEXT, "description": "What is wrong, in one word."},
        )
    ),
    "OllamaError": record(error={**TEXT, "description": "What is wrong, and what to do, in words."}),
    "AnthropicError": record(
        type=word("error"),
        error=record(type=TEXT, message=TEXT, details=record(error_code=TEXT)),
        request_id=nullable(TEXT),
    ),
}
