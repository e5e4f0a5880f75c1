"""What there is of one answer of llama.cpp, and in which terms its next tokens are chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.protocol import Delta, FinishReason, Sampling
from worker.engines.llama_cpp_sampling import endless
from worker.engines.splitter import Splitter
from worker.engines.stops import Piece, Token, stop_strings
from worker.engines.thoughts import Stage, Thinking


class NewTerms(Exception):
    """From now on tokens are chosen in other terms."""


class GrowingAnswer:
    """`choosing` is how llama.cpp chooses tokens, in its own terms. Stop strings count only before the `opener`.

    A grammar in it holds for the content alone: thoughts are free, and what was to become some and did not is made
    again.
    """

    def __init__(
        self,
        sampling: Sampling,
        choosing: Mapping[str, Any],
        thinking: Thinking,
        past: Sequence[Delta],
        opener: str = "",
    ) -> None:
        self.pieces = list(past)
        """What was sent of it."""
        self.tokens = [token for delta in past for token in delta.tokens]
        self._stops, self._least = stop_strings(tuple(sampling.stop), opener), sampling.min_tokens
        self._choosing, self._growing = choosing, {**choosing, **endless(sampling)}
        self._thinking, self._spent = thinking, False
        self._guided = bool(choosing["grammar"])
        self._turns = self._guided or thinking.budget is not None

    @property
    def written(self) -> list[str]:
        """See `Thinking.write`: what of it was sent."""
        return self._thinking.write(self.pieces)

    @property
    def guided(self) -> bool:
        """Whether what comes next keeps to a grammar."""
        return self._guided and self._thinking.after(self.pieces) is Stage.CONTENT

    @property
    def grows(self) -> bool:
        """Whether it has fewer tokens than it must have."""
        return len(self.tokens) < self._least

    @property
    def left(self) -> int | None:
        """See `Thinking.left`."""
        return 0 if self._spent else self._thinking.left(self.pieces)

    def terms(self, stage: Stage) -> dict[str, Any]:
        """As long as it grows, nothing may end it."""
        terms = self._growing if self.grows else self._choosing
        return {name: term for name, term in terms.items() if name != "grammar" or stage is Stage.CONTENT}

    def splitter(self) -> Splitter:
        """Of what comes next."""
        return Splitter(self._thinking, self._stops, self.pieces, self._least)

    def tell(self, pieces: list[Piece], splitter: Splitter, before: Stage, grows: bool) -> Iterator[Delta]:
        """Raises NewTerms where other terms hold after these pieces than before."""
        turns = self._turns and splitter.stage not in (before, Stage.OPEN) and not splitter.stopped
        if turns and self._guided and before is Stage.OPEN and splitter.stage is Stage.CONTENT:
            raise self._without_thoughts()
        yield from map(self.add, pieces + splitter.rest() if turns else pieces)
        if turns or (grows and not self.grows and not len(splitter)):
            raise NewTerms

    def ends_early(self, stage: Stage) -> bool:
        """Whether the model may not end it there: there has to be content that keeps to the grammar."""
        return self._guided and stage is not Stage.CONTENT

    def spend(self, splitter: Splitter) -> Iterator[Delta]:
        """The thoughts are to end here, and the content to begin: what is held back of them. Raises NewTerms."""
        if splitter.stage is Stage.OPEN and not self.pieces:
            raise self._without_thoughts()
        if splitter.stage is Stage.THOUGHTS:
            yield from map(self.add, splitter.rest())
        self._spent = True
        raise NewTerms

    def _without_thoughts(self) -> NewTerms:
        self._thinking = replace(self._thinking, stage=Stage.CONTENT)
        return NewTerms()

    @property
    def closing(self) -> tuple[int, ...]:
        """Tokens that come next, whatever the model would choose."""
        return self._thinking.closing if self.left == 0 else ()

    def close(self, closing: Sequence[Token]) -> Delta:
        """The thoughts end here, with these tokens."""
        delta = self.add(Piece("", tuple(closing)))
        self._spent = False
        return delta

    def end(self, splitter: Splitter, reason: FinishReason) -> Iterator[Delta]:
        """The last pieces."""
        *pieces, last = splitter.rest() or [Piece("", ())]
        yield from map(self.add, pieces)
        yield self.add(last, "stop" if splitter.stop else reason, splitter.stop)

    def add(self, piece: Piece, finish_reason: FinishReason | None = None, stop: str = "") -> Delta:
        delta = piece.tell(finish_reason, stop)
        self.pieces.append(delta)
        self.tokens += delta.tokens
        return delta
