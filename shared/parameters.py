"""Whether a model's engine honours all that a task asks of its sampling.

The gateway asks before a job is queued, and workers before they compute: others may have served the model when it was.
"""

from __future__ import annotations

from shared.errors import InvalidRequest
from shared.protocol import Task, text_task
from shared.registry import Card


def check_parameters(task: Task, card: Card) -> None:
    """Raises InvalidRequest, naming a parameter that is not honoured. An outline does not tell: it is let pass."""
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
