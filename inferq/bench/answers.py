"""What came of one streamed answer, and when; understood after its end: the client takes little of the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inferq.errors import GatewayError
from inferq.tools.gateway import refusal_reason

Arrival = tuple[float, bytes]
"""Seconds after the request, and what was read then."""
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
"""A return that is the last byte so far may be the half of an end."""
_DONE = b"[DONE]"
_INSTANT = 0.001
"""Seconds within which pieces come at one time, as far as anybody can tell."""


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """Of one request."""

    times: tuple[float, ...]
    """Seconds from the request to each piece of text; at least one."""
    ended: float
    """Seconds to the end."""
    tokens: int
    counted: str
    """What `tokens` is made of: `usage`, as the server tells it, or `chunks`."""
    prompt_tokens: int | None
    """As the server tells it."""
    cached_tokens: int | None
    build: str
    """What computed it, by the server's own name; empty where it has none."""

    @property
    def gaps(self) -> list[float]:
        """Seconds between each piece of text and the next."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]

    @property
    def rate(self) -> float | None:
        """Tokens a second after the first one; None where that is all at one time."""
        lasted = self.times[-1] - self.times[0]
        return (self.tokens - 1) / lasted if self.tokens > 1 and lasted > _INSTANT else None


def understand(arrivals: Sequence[Arrival]) -> TimedAnswer:
    """Raises GatewayError where the answer tells an error, was cut, has no text, or is in another form."""
    try:
        return _understand(arrivals)
    except (AttributeError, TypeError) as exc:
        raise GatewayError("the stream has another form than OpenAI's") from exc


def _understand(arrivals: Sequence[Arrival]) -> TimedAnswer:
    times: list[float] = []
    usage: dict[str, Any] = {}
    build = ""
    ended = finished = False
    for at, data in _events(arrivals):
        if ended := data.strip() == _DONE:
            break
        chunk = _chunk(data)
        if _pieces(chunk):
            times.append(at)
        finished = finished or any(choice.get("finish_reason") for choice in _choices(chunk))
        usage = chunk.get("usage") or usage
        build = str(chunk.get("system_fingerprint") or build)
    if not (ended or finished):
        raise GatewayError(f"the stream was cut after {len(times)} pieces of text")
    if not times:
        raise GatewayError("the answer has no text")
    tokens = usage.get("completion_tokens")
    return TimedAnswer(
        times=tuple(times),
        ended=arrivals[-1][0],
        tokens=tokens or len(times),
        counted="usage" if tokens else "chunks",
        prompt_tokens=usage.get("prompt_tokens"),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        build=build,
    )


def _events(arrivals: Sequence[Arrival]) -> Iterator[Arrival]:
    """The data of each event, and when it was complete. One event is one line here, as everybody sends them."""
    left = b""
    for at, data in arrivals:
        *lines, left = _LINE_END.split(left + data)
        for line in lines:
            field, _, value = line.partition(b":")
            if field in (b"data", b"error"):  # old servers of llama.cpp tell errors so
                yield at, value
    field, _, value = left.partition(b":")
    if field == b"data" and value.strip() == _DONE:  # without an end of its line
        yield arrivals[-1][0], value


def _chunk(data: bytes) -> dict[str, Any]:
    """Raises GatewayError of one that tells an error, or is none."""
    try:
        chunk = json.loads(data)
    except ValueError as exc:
        raise GatewayError(f"a chunk is no JSON: {data[:80]!r}") from exc
    if not isinstance(chunk, dict) or chunk.get("error") or chunk.get("object") == "error":
        raise GatewayError(refusal_reason(data, "an error in the stream"))
    return chunk


def _choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    return chunk.get("choices") or []


def _pieces(chunk: dict[str, Any]) -> bool:
    """Whether it brings text: of the answer, or of thoughts, under either of their names."""
    for choice in _choices(chunk):
        said = choice.get("delta") or {}
        if choice.get("text") or any(said.get(name) for name in ("content", "reasoning_content", "reasoning")):
            return True
    return False
