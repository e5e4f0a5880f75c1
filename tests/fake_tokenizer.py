"""In the place of llama.cpp's server: what is asked of its tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.cancellation import Cancellation
from shared.errors import JobCancelled


class FakeServer:
    """A token is a character; `after` so many questions somebody does something. "a" tells how texts begin."""

    def __init__(self, after: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self.asked: list[str] = []
        self.questions = 0
        self._after, self._act = after, act

    def ask(self, path: str, body: dict[str, Any], work: Cancellation) -> dict[str, list[int]]:
        self.questions += 1
        self.asked += [part for part in body["content"] if part not in (-1, "a")]
        if len(self.asked) == self._after:
            self._act()
        if work.cancelled:
            raise JobCancelled("")
        letters = [[-1] if part == -1 else map(ord, part) for part in body["content"]]
        return {"tokens": [token for part in letters for token in part]}
