"""What a batch has brought: one line for each request, in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.json import Decoder

from gateway.batches.results import CANCELLED, line_id, unanswered
from inferq.batches.requests import RequestFile

_TOLD = 3
"""Reasons that are told, those that come most often."""


class _Result(Struct):
    custom_id: str


class _Unanswered(Struct):
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


_RESULT, _UNANSWERED = Decoder(_Result), Decoder(_Unanswered)


class Tally:
    """How the requests ended."""

    def __init__(self) -> None:
        self.answered = 0
        self.reasons: Counter[str] = Counter()
        """Why others were not, as often as it is so."""

    @property
    def failed(self) -> int:
        return self.reasons.total()

    def note(self, line: bytes) -> bool:
        """Count a line of results; whether it has an answer."""
        found = _UNANSWERED.decode(line)
        if found.error is None and found.response and found.response["status_code"] == 200:
            self.answered += 1
            return True
        self.reasons[_reason(found)] += 1
        return False

    def lines(self) -> list[str]:
        """In words."""
        told = [f"{self.answered} answered, {self.failed} failed"]
        told += [f"  {count} x {reason}" for reason, count in self.reasons.most_common(_TOLD)]
        return told + (["  and others"] if len(self.reasons) > _TOLD else [])


def sort(requests: RequestFile, batch_id: str, found: Sequence[Path], output: Path, errors: Path | None) -> Tally:
    """Write the lines of the files that were found in the order of the requests; those without an answer to `errors`,
    if it is given.

    A request of which nothing is known is told as one that was not executed.
    """
    tally = Tally()
    with ExitStack() as files:
        sources = [files.enter_context(path.open("rb")) for path in found]
        places = {custom_id: (source, place) for source in sources for custom_id, place in _places(source)}
        target = files.enter_context(output.open("wb"))
        others = files.enter_context(errors.open("wb")) if errors else target
        for number, custom_id in requests.custom_ids():
            if custom_id in places:
                source, place = places[custom_id]
                source.seek(place)
                line = source.readline()
            else:
                line = unanswered(line_id(batch_id, number), custom_id, *CANCELLED)
            (target if tally.note(line) else others).write(line.rstrip(b"\n") + b"\n")
    return tally


def _places(source: BinaryIO) -> list[tuple[str, int]]:
    """Where each line of results begins, by the `custom_id` of its request."""
    found, place = [], 0
    for line in source:
        if line.strip():
            found.append((_RESULT.decode(line).custom_id, place))
        place += len(line)
    return found


def _reason(failed: _Unanswered) -> str:
    body = failed.error or (failed.response or {}).get("body")
    error = body.get("error", body) if isinstance(body, dict) else None
    return str(error.get("message", error)) if isinstance(error, dict) else "no reason is given"
