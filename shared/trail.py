"""A prompt's trail: marks of its beginnings, by which a worker is found that has read one of them before.

A mark is a hash of everything up to there, and of who may use what is computed of it, an owner and a
`prompt_cache_key`: nobody's marks are another's. Only beginnings
that are worth a wait have one: long ones, of at least half of the prompt. Of a chat they end with a turn that is not
the assistant's, for where such a turn was read its answer is known too. None ends before the first user's: what all
chats of an application begin with is read by every worker, soon.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import blake2b

from msgspec.json import Encoder

from shared.protocol import Accepted, Chat, Completion, FineChat

LEAST = 512
"""Bytes of a beginning that has a mark, of about 128 tokens."""
MOST_MARKS = 8
"""Of a prompt."""
_STEP = 2 ** (1 / 6)
"""By which each marked beginning of a text is longer than the one before."""
_ENCODER = Encoder()

_Piece = tuple[bytes, bool]
"""A part of a prompt, and whether the beginning that ends with it may have a mark; else it goes with the one before."""


def trail(accepted: Accepted) -> str:
    """The marks of its prompt, the longest beginning first, with spaces between them; empty where it has none."""
    task = accepted.task
    if isinstance(task, Chat):
        pieces = list(_of_chat(task))
    elif isinstance(task, Completion) and len(task.prompt) == 1:
        pieces = list(_of_text(_ENCODER.encode(task.prompt[0])))
    else:
        return ""
    if not task.sampling.cache_prompt:
        return ""
    whose = _ENCODER.encode((accepted.owner, task.sampling.caching.key))
    least = max(LEAST, sum(len(piece) for piece, _ in pieces) / 2)
    hashed, read, marks = blake2b(whose, digest_size=6), 0, list[tuple[str, int]]()
    for piece, ends in pieces:
        hashed.update(piece)
        read += len(piece)
        if ends:
            marks.append((b64encode(hashed.digest()).decode(), read))
        elif marks:
            marks[-1] = marks[-1][0], read
    return " ".join(mark for mark, known in reversed(marks[-MOST_MARKS:]) if known >= least)


def _of_chat(chat: Chat) -> Iterator[_Piece]:
    given = (chat.tools, chat.template_kwargs) if isinstance(chat, FineChat) else ()
    yield _ENCODER.encode(given), False
    asked = False
    for message in chat.messages:
        asked = asked or message.role == "user"
        yield _ENCODER.encode(message), asked and message.role != "assistant"


def _of_text(text: bytes) -> Iterator[_Piece]:
    """Cut where every text is, so that two that begin alike have the same marks up to there; and at its end."""
    past, end = 0, float(LEAST)
    while end < len(text):
        yield text[past : int(end)], True
        past, end = int(end), end * _STEP
    yield text[past:], True
