"""How much an answer may tell beside its text: log probabilities are many times as much, and prompts cost nothing."""

from __future__ import annotations

import math

from gateway.schemas.caps import MAX_LOGPROBS, capped
from shared.card import Card
from shared.config import Config
from shared.errors import InvalidRequest
from shared.protocol import Chat, Completion, FineCompletion, Prompt, Task, TextTask

LARGEST_ECHO = 8_388_608
"""Bytes of prompts that an answer repeats."""
_PIECE = 8
"""Bytes of a token, about, whose text is not known."""


def check_likelihoods(task: Task, card: Card, config: Config) -> None:
    """Raises InvalidRequest for a task whose answer might tell more of tokens than the operator allows.

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
    counts = {name: _each(task) * sum(tokens[name]) * (1 + top) for name, top in asked.items() if top is not None}
    if sum(counts.values()) > config.max_logprobs:
        with capped(config):
            problem = f"the answer could have {sum(counts.values())} of them, but at most {MAX_LOGPROBS} are told"
        advice = "Ask for fewer tokens, choices, prompts or alternatives"
        raise _too_many(max(counts, key=lambda name: counts[name]), f"{problem}. {advice}")


def check_echo(task: Task) -> None:
    """Raises InvalidRequest for one that repeats more than `LARGEST_ECHO`, as far as is known."""
    if isinstance(task, FineCompletion) and task.echo:
        sizes = (_length(prompt) * (1 if isinstance(prompt, str) else _PIECE) for prompt in task.prompt)
        if (size := _each(task) * sum(sizes)) > LARGEST_ECHO:
            problem = f"at most {LARGEST_ECHO} bytes of prompts are repeated, but these could be {size}"
            raise _too_many("echo", problem)


def _too_many(param: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid {param!r}: {problem}.", param=param, code="invalid_value")


def _each(task: TextTask) -> int:
    """Choices of each prompt."""
    return max(task.n, task.best_of) if isinstance(task, Completion) else task.n


def _prompts(task: TextTask) -> list[Prompt]:
    match task:
        case Chat():
            return ["".join(message.content for message in task.messages)]
        case Completion():
            return list(task.prompt)


def _length(prompt: Prompt) -> int:
    """Tokens, as far as they are known, else bytes."""
    return len(prompt.encode()) if isinstance(prompt, str) else len(prompt)
