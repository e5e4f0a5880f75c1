"""OpenAI's `include`: what it leaves out of items unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import InvalidRequest

LOGPROBS = "message.output_text.logprobs"
HOSTED = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
)
"""What there is none of: no tool is run here, and no image is read."""
INCLUDABLE = (LOGPROBS, "reasoning.encrypted_content", *HOSTED)


def read_include(given: Iterable[str]) -> frozenset[str]:
    """The parameter `include` of a query. Raises InvalidRequest."""
    for name in given:
        if name not in INCLUDABLE:
            message = f"Invalid value for 'include': {name[:64]!r} is none of {', '.join(INCLUDABLE)}."
            raise InvalidRequest(message, param="include", code="invalid_value")
    return frozenset(given)
