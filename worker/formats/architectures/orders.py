"""Orders of the rows of Q, K and V: which row of the source becomes row i for llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.formats.architectures.mapping import Hyper

if TYPE_CHECKING:
    from worker.formats.architectures.mapping import Rows


def grouped(hyper: Hyper) -> Rows:
    """From q, k and v of each head in turn to all of q, all of k, all of v."""
    import numpy as np

    return np.arange(3 * hyper.width).reshape(hyper.heads, 3, hyper.head).swapaxes(0, 1).ravel()


def halves(hyper: Hyper) -> Rows:
    """From rotated neighbours to rotated halves: what GPT-J does to what the phi2 graph does."""
    import numpy as np

    turning = np.arange(hyper.rotary or 0).reshape(-1, 2).T.ravel()
    head = np.concatenate([turning, np.arange(turning.size, hyper.head)])
    return _in_each_head(head, hyper.heads)


def neighbours(hyper: Hyper) -> Rows:
    """From rotated halves to rotated neighbours: Q of a Llama checkpoint."""
    return _in_each_head(_paired(hyper.head), hyper.heads)


def neighbouring_keys(hyper: Hyper) -> Rows:
    """The same for K, which has fewer heads where several share one."""
    return _in_each_head(_paired(hyper.head), hyper.kv_heads)


def _paired(width: int) -> Rows:
    import numpy as np

    return np.arange(width).reshape(2, -1).T.ravel()


def _in_each_head(head: Rows, heads: int) -> Rows:
    import numpy as np

    return (np.arange(heads)[:, None] * head.size + head).ravel()
