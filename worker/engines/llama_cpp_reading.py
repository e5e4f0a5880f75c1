"""How llama.cpp tells of the reading of a prompt."""

from __future__ import annotations

from collections.abc import Mapping

STREAM = {
    "stream": True,
    "return_progress": True,  # without it a cancellation waits for the end of the prompt
    "return_tokens": True,
    "response_fields": ["stop", "stop_type", "tokens_predicted"],  # of the last chunk only
}
"""What a request to `/completion` says for that."""


def is_read(progress: Mapping[str, int]) -> bool:
    """Whether this report is the last: the next step begins the answer."""
    return progress["processed"] == progress["total"]


def is_far(progress: Mapping[str, int], batch: int) -> bool:
    """Whether this report is worth an event: the answer is not there already, nor with the next step."""
    return progress["processed"] < progress["total"] and progress["total"] - progress["cache"] > batch
