"""The engine `ctransformers`: legacy GGML files as they are, one answer at a time, computed in an engine host."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from shared.cancellation import NEVER, Cancellable
from shared.card import Ability, Card
from shared.catalogue import Model
from shared.config import Config
from shared.context import Room, check_size
from shared.cores import share
from shared.errors import InvalidRequest
from shared.misfits import EngineMisfit
from shared.protocol import (
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    FinishReason,
    Progress,
    Sampling,
    TextTask,
    Timings,
    Usage,
)
from shared.recommendation import complete
from worker import chat_formats
from worker.engines import UNTOLD, with_prompt
from worker.engines.ctransformers_client import Evaluation, Evaluator
from worker.engines.ctransformers_file import check_file
from worker.engines.ctransformers_host import BATCH
from worker.engines.ctransformers_score import LegacyScorer
from worker.engines.ctransformers_text import LegacyText
from worker.engines.ctransformers_tokenizer import LegacyTokenizer
from worker.engines.defaults import recommended
from worker.engines.host import EngineHost
from worker.engines.hosted import Hosted
from worker.engines.pooling import NoPooler
from worker.engines.sampler import Sampler, price
from worker.engines.special_texts import Specials
from worker.engines.stops import Spelling, Token, go_on, stop_strings
from worker.formats.identity import digest, identity, watch

HONOURED = ("logprobs", "min_tokens", "prompt_logprobs", "repeat_last_n", "stop_token_ids")
"""What of `shared.protocol.FINE` the sampler knows."""


class CtransformersEngine(Hosted):
    """See `worker.engines.Engine`.

    Raises:
        ModelFileError: the file is damaged, no legacy GGML file, or one that ctransformers cannot read.
        ModelLoadError: ctransformers refused the file, or died of it.
        ConfigError: there is no such chat format.
    """

    def __init__(self, model: Model, config: Config) -> None:
        if model.path is None:
            raise EngineMisfit(f"the engine ctransformers needs a file for the model {model.id!r}")
        legacy = check_file(model.path, model.architecture)
        self._text = LegacyText(legacy)
        self._specials = Specials(() if model.parse_special else self._text.control)
        self._format = model.chat_format
        template = chat_formats.template(model.chat_format) if model.chat_format else ""
        self.pace = {"threads": config.threads or max(1, share(config.cores)[0] - 1)}
        parameters = {
            "path": str(model.path.resolve()),
            "reads": [str(model.path.resolve())],
            "architecture": legacy.architecture,
            "context": config.context or legacy.hyper.context,
            **self.pace,
        }
        path, architecture = model.path, legacy.architecture
        unchanged = watch(lambda: identity([path], architecture))
        self._host = EngineHost("worker.engines.ctransformers_host", model.id, parameters, unchanged)
        self._evaluator = Evaluator(self._host, len(legacy.vocabulary))
        self._turn = threading.Lock()
        self._seconds = config.max_seconds
        try:
            with self._evaluator.open() as evaluation:
                context = min(evaluation.context, config.context or evaluation.context)
        except BaseException:
            self._host.close()
            raise
        self.tokenizer = LegacyTokenizer(self._text, self._specials, template, context)
        self.card = Card(
            id=model.id,
            engine="ctransformers",
            architecture=legacy.architecture,
            context=context,
            slots=1,
            created=int(model.path.stat().st_mtime),
            capabilities=(Ability.COMPLETION, *((Ability.CHAT,) if model.chat_format else ())),
            digest=digest(identity([path], architecture), b"".join(legacy.vocabulary)),
            longest_piece=self._text.longest,
            honours=HONOURED,
            sampling=recommended(model),
        )

        self.pooler = NoPooler()
        self.scorer = LegacyScorer(self._read, self._evaluator, self._text, self._turn, context)

    def continues(self, task: TextTask) -> bool:
        return True

    def run(self, task: TextTask, execution: Cancellable, past: Sequence[Delta] = ()) -> Iterator[Event]:
        until = time.monotonic() + self._seconds
        tokens = self._read(task, execution)
        self._text.check([token for token, _ in task.sampling.logit_bias], "logit_bias")
        self._text.check(task.sampling.stop_token_ids, "stop_token_ids")
        stops = task.sampling.stop
        if isinstance(task, Chat):
            stops += chat_formats.stops(self._format)
        with self._turn, self._evaluator.open(execution, task.sampling.caching) as evaluation:
            events = self._events(evaluation, tokens, task.sampling, stops, past, until)
            yield from events if past else with_prompt(events, tokens, ids=task.token_ids)

    def tokenize(self, text: str, work: Cancellable = NEVER) -> list[int]:
        return self._text.tokens(text, work)

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        self._text.check(tokens, "tokens")
        return b"".join(map(self._text.bytes_of, tokens))

    def close(self) -> None:
        self._host.close()

    def _read(self, task: TextTask, work: Cancellable) -> list[int]:
        check_size(task, self.card)
        param, tokens = self._prompt(task, work)
        Room(self.card.context, param).check(len(tokens))
        return tokens

    def _prompt(self, task: TextTask, execution: Cancellable) -> tuple[str, list[int]]:
        """The parameter that the prompt comes from, and its tokens."""
        room = Room(self.card.context, "messages" if isinstance(task, Chat) else "prompt")
        match task:
            case Chat():
                param, tokens = "messages", self._text.tokens(self.tokenizer.render(task), execution, room)
            case Completion(prompt=(str(text),)):
                param, tokens = "prompt", self._text.tokens(text, execution, room)
            case Completion(prompt=(ids,)):
                self._text.check([token for token in ids if isinstance(token, int)], "prompt")
                param, tokens = "prompt", [token for token in ids if isinstance(token, int)]
            case _:
                raise AssertionError("an engine gets one prompt at a time")
        if not tokens:
            if self._text.bos is None:
                raise InvalidRequest("the prompt is empty, and this model has no token to begin with", param=param)
            tokens = [self._text.bos]
        return param, tokens

    def _read_again(self, past: Sequence[Delta]) -> list[int]:
        return self._text.more(self._specials.control.cut("".join(delta.text for delta in past)))

    def _events(
        self,
        evaluation: Evaluation,
        prompt: list[int],
        sampling: Sampling,
        stops: tuple[str, ...],
        past: Sequence[Delta],
        until: float,
    ) -> Iterator[Event]:
        made = [token for delta in past for token in delta.tokens]
        tokens = prompt + (self._read_again(past) if UNTOLD in made else made)
        # How many the answer may have; its text may have taken more when it was read again than when it was made.
        most = self.card.context - len(tokens) + len(made)
        most = min(most, sampling.max_tokens or most)
        sampling = complete(sampling, self.card.sampling)
        least, top = sampling.min_tokens, sampling.logprobs
        ends = self._text.ends.union(sampling.stop_token_ids)
        growing, sampler = Sampler(sampling, ends), Sampler(sampling, self._text.ends if sampling.ignore_eos else ())
        automaton, grows = stop_strings(stops), len(made) < least
        spelling = go_on(automaton, past, least)
        cached = evaluation.count_known(tokens) if sampling.cache_prompt or past else 0
        begun = time.monotonic()
        start, read_ms = cached, 0.0
        finish: FinishReason = "length"
        while len(made) < most and time.monotonic() < until:
            for done, step in evaluation.evaluate(tokens, start):
                logits = step
                if time.monotonic() >= until:
                    break
                if len(tokens) - start > BATCH and done < len(tokens) and not past:
                    yield Progress(done, len(tokens))
            if time.monotonic() >= until:
                break
            read_ms = read_ms or (time.monotonic() - begun) * 1000
            token = (growing if grows else sampler).choose(logits, tokens, len(made))
            told: Token = token if top is None else price(logits, token, top, self._text.vocabulary)
            start = len(tokens)
            tokens.append(token)
            made.append(token)
            if token in ends:
                spelling.hold(told)
                finish = "stop"
                break
            if piece := spelling.add(self._text.bytes_of(token), told):
                yield piece.tell()
            if spelling.stopped:
                finish = "stop"
                break
            if grows and len(made) >= least and not len(spelling):
                spelling, grows = Spelling(automaton), False
        yield spelling.rest().tell(finish, spelling.stop)
        yield Done(
            Usage(len(prompt), len(made), min(cached, len(prompt))),
            None if past else Timings(read_ms, (time.monotonic() - begun) * 1000 - read_ms),
        )
