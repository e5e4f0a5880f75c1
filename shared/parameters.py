"""Whether a model's engine honours all that a task asks of its sampling.

The gateway asks before a job is queued, and workers before they compute: others may have served the model when it was.
"""

from __future__ import annotations

from shared.card import Card
from shared.errors import InvalidRequest
from shared.protocol import Embedding, Task, text_task


def check_parameters(task: Task, card: Card) -> None:
    """Raises InvalidRequest, naming a parameter that is not honoured. An outline does not tell: it is let pass."""
    if isinstance(task, Embedding):
        _check_dimensions(task, card)
    asked = text_task(task)
    if not card.context or asked is None:
        return
    for name in sorted(asked.sampling.fine.difference(card.honours)):
        param = asked.sampling.grammar.param if name == "grammar" and asked.sampling.grammar else name
        raise InvalidRequest(
            f"The engine {card.engine}, which runs the model {card.id!r}, does not support {param!r}. Leave it out.",
            param=param,
            code="unsupported_parameter",
        )


def _check_dimensions(task: Embedding, card: Card) -> None:
    allowed = sorted({card.embedding, *card.dimensions})
    if card.embedding and task.dimensions and task.dimensions not in allowed:
        words = " or ".join(map(str, allowed))
        raise InvalidRequest(
            f"Unsupported value for 'dimensions': {task.dimensions} is not {words}, the dimensions of the model"
            f" {card.id!r}.",
            param="dimensions",
            code="unsupported_value",
        )
