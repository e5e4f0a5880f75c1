"""How likely given tokens are to llama.cpp, whose server does not tell that: a host of its own reads them.

It is apart from the one that answers, so that neither can take the other's memory or cells, and it is there only while
it is needed. Several sequences are read in turns, a batch of each.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shared import memory
from shared.cancellation import NEVER, Cancellable, aborting, check, wait_for
from shared.errors import ContextLengthExceeded, EngineError, HostDied, InvalidRequest
from shared.memory import DoesNotFit, tell
from shared.protocol import Chat, TextTask, TokenLogprob, TopLogprob
from worker.engines import UNTOLD
from worker.engines.cells import Cells, Share
from worker.engines.host import EngineHost
from worker.engines.host_on_demand import HostOnDemand
from worker.tools import needs_form

_MODULE = "worker.engines.llama_cpp_scoring_host"
LARGEST_LOGITS = 33_554_432
"""Bytes of the logits of one batch, which the host holds twice."""
_LOGIT = 4
"""Bytes."""
_MORE = 1.1
"""How much more than the host that answers it may come to take."""


class NoRoomToScore(DoesNotFit):
    """It would be a second time what the model takes beside its weights."""

    words = "There is not enough memory to tell how likely a prompt is to this model."


def check_room(size: int) -> None:
    """Raises NoRoomToScore where there are fewer bytes: whoever computes now might be killed for want of them."""
    if size * _MORE > (there := memory.budget()).free:
        raise NoRoomToScore(
            f"scoring needs {tell(int(size * _MORE))} of memory beside the model, and there are {there}; it needs less"
            " with a smaller --context"
        )


def largest_batch(vocabulary_size: int, most: int) -> int:
    """Tokens that are read at once: `most`, or fewer where the vocabulary is large."""
    return max(1, min(most, LARGEST_LOGITS // (_LOGIT * max(1, vocabulary_size))))


@dataclass(eq=False, slots=True)
class _ScoredSequence:
    """A sequence that is being read, in one life of the host."""

    number: int
    """One more than that of the reading that began before."""
    sequence: int
    host: EngineHost
    work: Cancellable
    life: int = 0


class Scorer:
    """See `worker.engines.PromptScorer`. May be used from several threads: as many sequences as the engine has slots
    are read in turns, and share the cells of one context; others wait.

    `parameters` are those of the host that answers, of which this is a double, `takes` tells how many bytes of memory
    it has for itself, and `pieces` are the bytes of all tokens.
    `batch` is how many are read at once at most, `unchanged` looks whether the files are, and `threads` says how many a
    step may use now.
    """

    def __init__(
        self,
        title: str,
        parameters: Mapping[str, Any],
        read: Callable[[TextTask, Cancellable], list[int]],
        pieces: Sequence[bytes],
        *,
        context: int,
        batch: int,
        unchanged: Callable[[], None],
        threads: Callable[[], int],
        takes: Callable[[], int],
    ) -> None:
        self._read, self._pieces, self._context, self._threads = read, pieces, context, threads
        self._batch = largest_batch(len(pieces), batch)
        self._sequences: int = parameters["slots"]
        given = {**parameters, "context": context, "batch": self._batch, "key": ""}

        def start() -> EngineHost:
            check_room(takes() + 2 * self._batch * len(pieces) * _LOGIT)
            return EngineHost(_MODULE, f"{title} scoring", given, unchanged)

        self.host = HostOnDemand(start)
        self._cells, self._free = Cells(context), list(range(self._sequences))
        self._begun, self._live = 0, set[int]()
        """How many readings have begun, and the numbers of those that go on."""
        self._changed = threading.Condition()

    def close(self) -> None:
        self.host.close()

    def read(self, task: TextTask, work: Cancellable = NEVER) -> list[int]:
        if isinstance(task, Chat) and needs_form(task):
            raise InvalidRequest("the prompt of a chat with tools is not told", param="prompt_logprobs")
        return self._read(task, work)

    def score_prompt(
        self, task: TextTask, tokens: Sequence[int], work: Cancellable, top: int, *, further: bool
    ) -> Iterator[TokenLogprob]:
        yield TokenLogprob(tokens[0], self._pieces[tokens[0]], None)
        yield from self.score(tokens, 1, work, top, further=further)

    def score(
        self, tokens: Sequence[int], after: int = 1, work: Cancellable = NEVER, top: int = 0, *, further: bool = False
    ) -> Iterator[TokenLogprob]:
        if (highest := max(tokens, default=0)) >= len(self._pieces):
            raise InvalidRequest(f"{highest} is no token: this model has {len(self._pieces)}", param="tokens")
        if len(tokens) > self._context:
            raise ContextLengthExceeded(len(tokens), self._context, param="tokens")
        if not tokens:
            return
        with self._place(len(tokens), work) as (number, sequence), self.host.use(work) as host:
            scored, targets = _ScoredSequence(number, sequence, host, work), [*tokens[1:], UNTOLD]
            last = len(tokens) - (not further)  # the last token is read only for what comes after it
            for start in range(0, last, self._batch):
                end = min(last, start + self._batch)
                scores = self._step(scored, start, tokens[start:end], targets[start:end], top)
                yield from scores[max(0, after - 1 - start) :]

    @contextmanager
    def _place(self, count: int, work: Cancellable) -> Iterator[tuple[int, int]]:
        """Cells for so many tokens; the number of the reading, and its sequence."""
        share = Share(count, count, stays=True)
        self._cells.enter(share, work)
        try:
            with self._changed:
                wait_for(self._changed, lambda: bool(self._free), work)
                sequence = self._free.pop()
                self._begun += 1
                number = self._begun
                self._live.add(number)
            try:
                yield number, sequence
            finally:
                with self._changed:
                    self._live.remove(number)
                    self._free.append(sequence)
                    self._changed.notify_all()
        finally:
            self._cells.leave(share)

    def _step(
        self, scored: _ScoredSequence, past: int, tokens: Sequence[int], targets: Sequence[int], top: int
    ) -> list[TokenLogprob]:
        import numpy as np  # here, as few workers score: it would cost each start 0.1 s

        check(scored.work)
        count, told = len(tokens), max(top, 1)
        question = {"past": past, "tokens": list(tokens), "targets": list(targets), "top": told}
        answer = self._ask(scored, {**question, "threads": self._threads()}, count * (8 + 4 + 12 * told))
        logprobs = np.frombuffer(answer, np.float64, count)
        ranks = np.frombuffer(answer, np.int32, count, count * 8)
        ids = np.frombuffer(answer, np.int32, count * told, count * 12).reshape(count, told)
        theirs = np.frombuffer(answer, np.float64, count * told, count * (12 + 4 * told)).reshape(count, told)
        pieces = self._pieces
        scores = []
        for i, target in enumerate(targets):
            likeliest = [
                TopLogprob(token, pieces[token], logprob)
                for token, logprob in zip(ids[i].tolist(), theirs[i].tolist(), strict=True)
            ]
            if target != UNTOLD:
                score = TokenLogprob(target, pieces[target], float(logprobs[i]), tuple(likeliest[:top]), int(ranks[i]))
                scores.append(score)
            elif not ranks[i]:  # it says something
                first = likeliest[0]
                scores.append(TokenLogprob(first.token, first.text, first.logprob, tuple(likeliest[:top]), 1))
        return scores

    def _ask(self, scored: _ScoredSequence, question: dict[str, object], size: int) -> bytes:
        """An answer of so many bytes."""
        host, work = scored.host, scored.work
        connected, life = host.connect(work)
        scored.life = scored.life or life
        try:
            with connected as connection, aborting(connection, work), connection.makefile("rb") as answers:
                if life != scored.life:
                    raise ConnectionResetError("what it has read is lost")
                with host.pulse.expect(self._sequences):
                    connection.sendall(json.dumps({**question, **self._names(scored)}).encode() + b"\n")
                    status = answers.read(1)
                    answer = answers.read(size) if status == b"\1" else b""
        except OSError as exc:
            check(work)
            raise HostDied(host.obituary(scored.life)) from exc
        check(work)
        if status == b"\0":
            raise EngineError("llama.cpp could not compute how likely the tokens are")
        if status != b"\1" or len(answer) < size:
            raise HostDied(host.obituary(scored.life))
        host.pulse.beat()
        return answer

    def _names(self, scored: _ScoredSequence) -> dict[str, object]:
        """What is read, and which others are: of those that began before and have ended the host is to forget all.

        It cannot be told which sequences are free: another may begin, and be read there, before this comes to it.
        """
        with self._changed:
            known = {"begun": self._begun, "live": list(self._live)}
        return {"reading": scored.number, "sequence": scored.sequence, **known}
