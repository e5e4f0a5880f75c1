"""How likely tokens were."""

from __future__ import annotations

from msgspec import Struct


class TopLogprob(Struct, frozen=True, array_like=True, gc=False):
    """A token that might have come. In JSON it is an array, for there are many."""

    token: int
    """Its id."""
    text: bytes
    """What the vocabulary has for it, in UTF-8: it may be a part of a character, and the name of a special token."""
    logprob: float
    """Natural logarithm of its probability, as the model has it, before any sampling parameter."""


class TokenLogprob(Struct, frozen=True, array_like=True, gc=False):
    """A token that has come, and what might have come in its place."""

    token: int
    text: bytes
    logprob: float | None
    """None: it is the first of a prompt."""
    top: tuple[TopLogprob, ...] = ()
    """The likeliest, in order, as many as the task wants."""
    rank: int = 0
    """Its place among all tokens, from 1 on; 0: not told."""
