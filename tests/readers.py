"""How programs read the body of a stream: each written after one that is in use, with its faults.

Each takes the pieces of a body as they arrived, and returns the data of its events: chunks, and "[DONE]".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2 as httpx

MOST_EMPTY_LINES = 300
"""After so many lines without data go-openai gives up."""

Reader = Callable[[Sequence[bytes]], list[Any]]


def parse(value: str | bytes) -> Any:
    """What stands behind `data:`."""
    text = value.decode() if isinstance(value, bytes) else value
    return text if text == "[DONE]" else json.loads(text)


def by_the_standard(pieces: Sequence[bytes]) -> list[Any]:
    """The HTML standard's EventSource: lines end with CR, LF or both, and only what has data is an event."""
    text = b"".join(pieces).decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found, data = [], list[str]()
    for line in text.split("\n")[:-1]:  # a last line that no line end closes is dropped, and so is an open event
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            found.append(parse("\n".join(data)))
            data.clear()
    return found


def by_blank_lines(pieces: Sequence[bytes]) -> list[Any]:
    """vLLM's benchmark: strips each read, cuts at blank lines, and skips what begins with a colon.

    So a comment that arrives alone has lost its blank line, and hides what comes after it.
    """
    found, buffer = [], ""
    for piece in pieces:
        buffer += piece.strip().decode()
        *blocks, buffer = buffer.split("\n\n")
        if buffer.startswith("data: "):
            try:
                parse(buffer.removeprefix("data: "))
            except json.JSONDecodeError:
                pass
            else:
                blocks, buffer = [*blocks, buffer], ""
        found += [parse(block.strip().removeprefix("data: ")) for block in blocks if block and block[0] != ":"]
    return found


def by_lines_with_patience(pieces: Sequence[bytes]) -> list[Any]:
    """go-openai: lines that begin with `data: `, and no more than 300 others in between."""
    found, empty = [], 0
    for line in map(bytes.strip, b"".join(pieces).splitlines()):
        if line.startswith(b"data: "):
            found.append(parse(line.removeprefix(b"data: ")))
            empty = 0
            if found[-1] == "[DONE]":
                break
        else:
            empty += 1
            assert empty <= MOST_EMPTY_LINES, "stream has sent too many empty messages"
    return found


def by_unicode_lines(pieces: Sequence[bytes]) -> list[Any]:
    """`httpx.iter_lines`, which guidellm and many scripts use: a line ends where `str.splitlines` ends one."""
    lines = httpx.Response(200, content=iter(pieces)).iter_lines()
    return [parse(line.removeprefix("data:").strip()) for line in lines if line.startswith("data:")]


def by_lines_without_comments(pieces: Sequence[bytes]) -> list[Any]:
    """llmperf: every line that is not empty is data, after six characters that it does not look at."""
    return [parse(line[6:]) for line in map(bytes.strip, b"".join(pieces).splitlines()) if line]


def by_dispatch(pieces: Sequence[bytes]) -> list[Any]:
    """openai-go before 2026: a blank line is an event, even without data, and no data is no JSON."""

    def events() -> Iterator[str]:
        data = ""
        for line in b"".join(pieces).decode().split("\n")[:-1]:
            field, _, value = line.partition(":")
            if field == "data":
                data += value.removeprefix(" ")
            elif not line:
                yield data
                data = ""

    return [parse(data) for data in events()]


READERS: tuple[Reader, ...] = (
    by_the_standard,
    by_blank_lines,
    by_lines_with_patience,
    by_unicode_lines,
    by_lines_without_comments,
    by_dispatch,
)
