"""From one task to its choices: what to compute, what is there already, and how the answers make one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from shared.errors import WorkerLost
from shared.protocol import Chat, Completion, Delta, Done, Event, Progress, TextTask, Usage
from shared.transcript import Transcript
from worker.engines.stops import Letters

AT_ONCE = 1024
"""Log probabilities that a piece tells of, about 40 kB: whoever reads it decodes it in one go."""
_REST = 3
"""Tokens at most that end the character in which a piece would be cut."""
_SEEDS = 2**32 - 1


class Diverged(WorkerLost):
    """What is computed now does not go on from what earlier executions have sent."""

    def __init__(self) -> None:
        super().__init__("The worker died after it had sent a part of the answer, which came out another way now.")


@dataclass(eq=False, slots=True)
class Candidate:
    """One choice to compute: a task of one prompt and one choice, and what came of it."""

    task: TextTask
    prompt: int
    """Which of the job's prompts it answers."""
    index: int
    """Its choice; in a task with `best_of`, only its number."""
    progress: Progress = field(default_factory=lambda: Progress(0, 0))
    deltas: list[Delta] = field(default_factory=list)
    """What there is of it; sent already, except where the best are chosen at the end."""
    sent: int = 0
    """Characters of it that were sent."""
    told: int = -1
    """Tokens of its prompt that were told; -1: not even the text."""
    done: Done | None = None


def split(task: TextTask) -> list[Candidate]:
    """The candidates of a task, in the order of their choices. Each has a seed of its own, the first one the task's."""
    match task:
        case Chat():
            singles: list[tuple[int, TextTask]] = [(0, replace(task, n=1))] * task.n
        case Completion():
            each = max(task.n, task.best_of)
            singles = [(i, replace(task, prompt=(p,), n=1)) for i, p in enumerate(task.prompt) for _ in range(each)]
    sampling = task.sampling
    if chooses_best(task) and sampling.logprobs is None:
        sampling = replace(sampling, logprobs=0)
    return [
        Candidate(replace(single, sampling=replace(sampling, seed=(sampling.seed + index) % _SEEDS)), prompt, index)
        for index, (prompt, single) in enumerate(singles)
    ]


def restore(candidates: Sequence[Candidate], sent: Iterable[Delta]) -> None:
    """Give the candidates back what earlier executions have sent of them."""
    for delta in sent:
        candidate = candidates[delta.index]
        if delta.prompt_text or delta.prompt_logprobs:  # see `prompts.py`: it tells nothing else
            candidate.told = max(candidate.told, 0) + len(delta.prompt_logprobs)
            continue
        candidate.deltas.append(delta)
        candidate.sent += len(delta.text)
        if delta.usage:
            candidate.done = Done(delta.usage)


def pass_over(sent: Iterable[Delta], events: Iterable[Event]) -> Iterator[Event]:
    """The events of a choice that is computed again, without what was sent of it already, wherever that was cut.

    Raises Diverged where it does not agree with that: somebody has the beginning of another answer.
    """
    sent, transcript = tuple(sent), Transcript()
    before = "".join(transcript.mark(delta) + delta.text for delta in sent)
    tokens = [token for delta in sent for token in delta.tokens]
    priced = any(delta.logprobs for delta in sent)
    transcript, at, told = Transcript(), 0, 0
    for event in events:
        if not isinstance(event, Delta):
            if not (at < len(before) and isinstance(event, Progress)):
                yield event
            continue
        mark = transcript.mark(event)
        part = mark + event.text
        common = min(len(before) - at, len(part))
        if not before.startswith(part[:common], at) or (event.finish_reason and len(before) - at > common):
            raise Diverged
        known = tokens[told : told + len(event.tokens)]
        if priced and known != list(event.tokens[: len(known)]):
            raise Diverged  # what was told of those tokens is of others
        at, told = at + common, told + len(known)
        if part[common:] or event.tokens[len(known) :] or event.finish_reason:
            text = event.text[max(0, common - len(mark)) :]
            yield replace(event, text=text, tokens=event.tokens[len(known) :], logprobs=event.logprobs[len(known) :])


def chooses_best(task: TextTask) -> bool:
    """Whether more is computed than answered, so that nothing can be told before the end."""
    return isinstance(task, Completion) and task.best_of > task.n


def best(candidates: Sequence[Candidate], task: TextTask) -> Iterator[Candidate]:
    """The task's `n` candidates of each prompt whose tokens are the likeliest on average."""
    for _, rivals in itertools.groupby(candidates, key=lambda candidate: candidate.prompt):
        yield from sorted(rivals, key=_likelihood, reverse=True)[: task.n]


def retell(deltas: Sequence[Delta], index: int, *, likelihoods: bool) -> Iterator[Delta]:
    """An answer that is there, as the choice `index`: in few pieces, for nobody waits for a part of it."""
    held, count, offset = list[Delta](), 0, 0
    pieces = [piece for delta in deltas for piece in divide(delta if likelihoods else replace(delta, logprobs=()))]
    for place, piece in enumerate(pieces, 1):
        held.append(piece)
        count += piece.likelihoods
        if count >= AT_ONCE or place == len(pieces):
            whole = _join(held, index, offset)
            yield whole
            held, count, offset = [], 0, offset + len(whole.text)


def divide(piece: Delta) -> Iterator[Delta]:
    """A piece that tells of so many tokens that it is better told in several: as much of its text with each as their
    own texts spell, and what that leaves with the last."""
    most = AT_ONCE // (1 + max((len(entry.top) for entry in piece.logprobs), default=0))
    each = max(1, most - _REST)
    letters, text, at = Letters(), piece.text, 0
    prompt_tokens, size = piece.prompt_tokens, piece.prompt_size
    while len(piece.logprobs) - at > each:
        end = at + each
        said = letters.read(b"".join(entry.text for entry in piece.logprobs[at:end]))
        while not letters.whole and end < len(piece.logprobs):  # who tells where tokens begin needs all of a character
            said, end = said + letters.read(piece.logprobs[end].text), end + 1
        entries = piece.logprobs[at:end]
        said = said if text.startswith(said) else ""
        yield Delta(
            said,
            piece.tokens[at:end],
            prompt_tokens=prompt_tokens,
            prompt_size=size,
            reasoning=piece.reasoning,
            call=piece.call,
            logprobs=entries,
        )
        text, at, prompt_tokens, size = text[len(said) :], end, (), 0
    tokens, logprobs = piece.tokens[at:], piece.logprobs[at:]
    yield replace(piece, text=text, tokens=tokens, logprobs=logprobs, prompt_tokens=prompt_tokens, prompt_size=size)


def _join(pieces: Sequence[Delta], index: int, offset: int) -> Delta:
    return replace(
        pieces[-1],
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        index=index,
        prompt_tokens=pieces[0].prompt_tokens,
        prompt_size=pieces[0].prompt_size,
        offset=offset,
        logprobs=tuple(entry for piece in pieces for entry in piece.logprobs),
    )


def _likelihood(candidate: Candidate) -> float:
    assert candidate.done is not None
    total = sum(entry.logprob or 0.0 for delta in candidate.deltas for entry in delta.logprobs)
    return total / max(1, candidate.done.usage.completion_tokens)


def sum_up(candidates: Sequence[Candidate]) -> Done:
    """The end of the whole job."""
    ends = [candidate.done for candidate in candidates if candidate.done]
    if len(ends) == 1:
        return ends[0]
    prompts = {candidate.prompt: candidate.done.usage for candidate in reversed(candidates) if candidate.done}
    return Done(
        Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in prompts.values()),
            completion_tokens=sum(end.usage.completion_tokens for end in ends),
            cached_tokens=sum(usage.cached_tokens for usage in prompts.values()),
            reasoning_tokens=sum(end.usage.reasoning_tokens for end in ends),
            trimmed=any(end.usage.trimmed for end in ends),
        )
    )
