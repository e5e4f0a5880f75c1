"""What events take of memory while they wait in a mailbox."""

from __future__ import annotations

import sys

from shared.protocol import Delta, Encoded, Event, Pooled

_EVENT = 200
"""Bytes that an event takes beside its text and tokens."""
_TOKEN = 36
"""Bytes that a token's id takes."""
_CALL = 200
"""Bytes that the call of a piece takes."""
_LOGPROB = 200
"""Bytes that a log probability takes, with its token."""


def size(event: Event) -> int:
    """Bytes, about."""
    if isinstance(event, Encoded):
        pieces = sum(map(sys.getsizeof, event.pieces))
        return _EVENT + sys.getsizeof(event.text) + _TOKEN * len(event.tokens) + pieces
    if isinstance(event, Pooled):
        return _EVENT + sum(map(sys.getsizeof, event.vectors)) + _TOKEN * len(event.tokens)
    if not isinstance(event, Delta):
        return _EVENT
    taken = _EVENT + sys.getsizeof(event.text) + _TOKEN * len(event.tokens) + (_CALL if event.call else 0)
    if event.prompt_text or event.prompt_tokens:
        taken += sys.getsizeof(event.prompt_text) + _TOKEN * len(event.prompt_tokens)
    return taken + _LOGPROB * event.likelihoods
