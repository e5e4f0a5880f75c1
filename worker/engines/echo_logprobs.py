"""How likely tokens are to the echo engine: made up, the same each time, and in form as a model's."""

from __future__ import annotations

import math
import zlib

from shared.protocol import TokenLogprob, TopLogprob


def judge(token: int, text: str, place: int, most: int) -> TokenLogprob:
    """That of the token at a place of the context, with the `most` likeliest there: it may be one of them."""
    if place == 0:
        return TokenLogprob(token, text.encode(), None)
    number = zlib.crc32(b"%d/%d" % (place, token))
    ratio = 0.3 + number % 1024 / 2048  # of each probability to the one of the rank before
    rank = 1 + max(0, number // 1024 % 64 - 32)  # half of the tokens are the likeliest

    def logprob(rank: int) -> float:
        return math.log(1 - ratio) + (rank - 1) * math.log(ratio)

    others = (TopLogprob((number >> 1) + each, _other(each), logprob(each)) for each in range(1, most + 1))
    own = TopLogprob(token, text.encode(), logprob(rank))
    top = tuple(own if place == rank else other for place, other in enumerate(others, 1))
    return TokenLogprob(token, own.text, own.logprob, top, rank)


def _other(rank: int) -> bytes:
    """Some are a part of a character."""
    return b" \xe2\x80" if rank % 5 == 3 else b" other%d" % rank
