"""How many log probabilities an answer may tell: they are many times as much as its text."""

from __future__ import annotations

import math

from gateway.schemas.caps import MAX_LOGPROBS, capped
from shared.config import Config
from shared.errors import InvalidRequest
from shared.protocol import Chat, Completion, Prompt, Task, TextTask
from shared.registry import Card


def check_likelihoods(task: Task, card: Card, config: Config) -> None:
    """Raises InvalidRequest for a task whose answer might tell more than the operator allows.

    The tokens of a text are not known: as many as its bytes, or its context, if that is known. Of a chat they are more
    than of its messages, and counted as those.
    """
    if not isinstance(task, TextTask):
        return
    sampling, context = task.sampling, card.context or math.inf
    asked = {"prompt_logprobs": sampling.prompt_logprobs, "logprobs": sampling.logprobs}
    limit = math.inf if sampling.max_tokens is None else sampling.max_tokens
    tokens = {"prompt_logprobs": [min(_length(prompt), context) for prompt in _prompts(task)]}
    tokens["logprobs"] = [min(limit, context) for _ in tokens["prompt_logprobs"]]
    each = max(task.n, task.best_of) if isinstance(task, Completion) else task.n
    counts = {name: each * sum(tokens[name]) * (1 + top) for name, top in asked.items() if top is not None}
    if sum(counts.values()) > config.max_logprobs:
        with capped(config):
            problem = f"the answer could have {sum(counts.values())} of them, but at most {MAX_LOGPROBS} are told"
        param = max(counts, key=lambda name: counts[name])
        advice = "Ask for fewer tokens, choices, prompts or alternatives"
        raise InvalidRequest(f"Invalid {param!r}: {problem}. {advice}.", param=param, code="invalid_value")


def _prompts(task: TextTask) -> list[Prompt]:
    match task:
        case Chat():
            return ["".join(message.content for message in task.messages)]
        case Completion():
            return list(task.prompt)


def _length(prompt: Prompt) -> int:
    """Tokens, as far as they are known, else bytes."""
    return len(prompt.encode()) if isinstance(prompt, str) else len(prompt)
