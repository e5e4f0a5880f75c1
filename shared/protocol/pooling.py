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
    cut: int | None = None
    """Tokens after which an input is cut off, 0: as many as the model reads; None: one that has more is refused."""

    @property
    def size(self) -> int:
        """How many vectors the answer has."""
        return len(self.inputs)

    def param(self, place: int) -> str:
        """What errors call that input."""
        return f"inputs[{place}]" if self.size > 1 else "inputs"

    def head(self) -> Embedding:
        """See `Accepted.head`: as many inputs, each empty."""
        return replace(self, inputs=("",) * len(self.inputs))


class Reranking(Record, frozen=True):
    """Tell how well each document answers a query: a vector of one number, a logit, the higher the better."""

    model: str
    query: str
    documents: tuple[str, ...]
    cut: int | None = None
    """Tokens after which a document is cut off, 0: as many as the model reads beside the query; None: see `Embedding`.
    """
    repeats: bool = False
    """The answer has the documents too."""

    @property
    def size(self) -> int:
        """How many vectors the answer has."""
        return len(self.documents)

    def param(self, place: int) -> str:
        """What errors call that document."""
        return f"documents[{place}]"

    def head(self) -> Reranking:
        """See `Accepted.head`: as many documents, each empty where the answer does without."""
        return replace(self, query="", documents=self.documents if self.repeats else ("",) * len(self.documents))


PoolingTask = Embedding | Reranking
"""What is answered with a vector for each of several inputs: the model's last layer, pooled over the tokens of one."""
