"""What is answered with vectors."""

from __future__ import annotations

from msgspec.structs import replace

from shared.protocol.prompt import Prompt
from shared.protocol.record import Record


class Embedding(Record, frozen=True):
    """Tell the vector of each input."""

    model: str
    inputs: tuple[Prompt, ...]
    dimensions: int | None = None
    """Numbers of each vector: the first ones, brought to length 1 again; None: all of them."""

    @property
    def size(self) -> int:
        """How many vectors the answer has."""
        return len(self.inputs)

    def head(self) -> Embedding:
        """See `Accepted.head`: as many inputs, each empty."""
        return replace(self, inputs=("",) * len(self.inputs))


class Reranking(Record, frozen=True):
    """Tell how well each document answers a query: a vector of one number, the higher the better."""

    model: str
    query: str
    documents: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many vectors the answer has."""
        return len(self.documents)

    def head(self) -> Reranking:
        """See `Accepted.head`: as many documents, each empty."""
        return Reranking(self.model, "", ("",) * len(self.documents))


PoolingTask = Embedding | Reranking
"""What is answered with a vector for each of several inputs: the model's last layer, pooled over the tokens of one."""
