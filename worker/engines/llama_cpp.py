"""The engine `llama.cpp`: GGUF models, computed by xllamacpp's server in an engine host."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from shared import footprint
from shared.cancellation import NEVER, Cancellable
from shared.card import Ability
from shared.catalogue import Model
from shared.config import Config
from shared.context import Room, check_size
from shared.errors import ModelLoadError
from shared.protocol import Chat, Delta, Event, FineChat, FineCompletion, TextTask
from shared.recommendation import complete
from worker.chat_formats import template
from worker.engines import with_prompt
from worker.engines.cells import Cells
from worker.engines.gaps import fill
from worker.engines.host import EngineHost
from worker.engines.hosted import Hosted
from worker.engines.llama_cpp_answer import GrowingAnswer
from worker.engines.llama_cpp_card import make_card
from worker.engines.llama_cpp_chat import NativeTools
from worker.engines.llama_cpp_chats import Chats
from worker.engines.llama_cpp_files import check_files, host_parameters, step_of
from worker.engines.llama_cpp_generation import Generation
from worker.engines.llama_cpp_grammar import keep
from worker.engines.llama_cpp_infill import GapReader
from worker.engines.llama_cpp_likelihoods import Likelihoods
from worker.engines.llama_cpp_prefixes import LlamaPrefixes
from worker.engines.llama_cpp_prompt import PromptReader
from worker.engines.llama_cpp_sampling import terms
from worker.engines.llama_cpp_score import Scorer
from worker.engines.llama_cpp_seats import Seats
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_session import Sessions
from worker.engines.llama_cpp_specials import Speller, find_specials
from worker.engines.llama_cpp_state import SlotState
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.llama_cpp_thoughts import Thoughts, learn_thoughts
from worker.engines.llama_cpp_tokenizer import LlamaTokenizer
from worker.engines.own_engine import check_interface, check_numbers, choose_host
from worker.engines.pooling import NoPooler
from worker.engines.special_texts import Specials
from worker.engines.thoughts import Thinking
from worker.formats.identity import watch
from worker.formats.infill import find_infill
from worker.formats.vocabulary import pieces, words
from worker.prefixes.fitness import why_not
from worker.prefixes.folder import open_folder
from worker.tools import OPENER, needs_form, own_form, parse


class LlamaCppEngine(Hosted):
    """See `worker.engines.Engine`.

    Raises:
        ModelFileError: the file's header is damaged, or not GGUF.
        ModelLoadError: llama.cpp refused the file, or died of it.
    """

    def __init__(self, model: Model, config: Config) -> None:
        self._files = files = check_files(model)
        self._ends, self._seconds = files.header.ends, config.max_seconds
        self._batch = step_of(files, config)
        parameters = host_parameters(model, files, config, self._batch, key := secrets.token_urlsafe())
        self.pace = {name: parameters[name] for name in ("threads", "batch_threads")} | {"batch_size": self._batch}
        self._identity, unchanged = files.identify(model), watch(lambda: files.identify(model))
        folder = open_folder(config, why_not(files.header, files.draft))
        module, told = choose_host(config.llama_server, parameters)
        computes = files.describe(told) if folder else ""
        self._host = EngineHost(module, model.id, told, unchanged)
        self._server = LlamaServer(self._host, key)
        self._text = LlamaText(self._server, spaced=files.header.spaced)
        try:
            if config.llama_server:
                check_interface(self._server)
            found = find_specials(model, files, self._text)
            self._text.specials, self._specials = found.control, Specials() if model.parse_special else found
            chats = bool(model.chat_format or files.header.chat_template)
            thoughts = learn_thoughts(self._server, self._text, self._pieces) if chats else Thoughts()
            properties = self._server.ask("/props")
            self._system = bool(properties["chat_template_caps"]["supports_system_role"])
            if files.draft and not all(slot["speculative"] for slot in self._server.ask("/slots")):
                raise ModelLoadError(f"{files.draft}: no draft for {files.path.name}: it has another vocabulary")
        except BaseException:
            self._host.close()
            raise
        infill = find_infill(files.header.metadata, [word for word, _ in words(files.path)])
        abilities = (
            *((Ability.CHAT, Ability.TOOLS) if chats else ()),
            *((Ability.INFILL,) if infill else ()),
            *thoughts.abilities,
        )
        self.card = make_card(model, files, properties, abilities, self._pieces)
        size = files.header.vocabulary_size
        self._chats = Chats(self._server, model, self._specials, thoughts)
        self._reader = PromptReader(self._text, self._specials, size=size, bos=files.header.bos)
        self._gaps = infill and GapReader(
            self._text, self._specials, self._reader, infill, suffix_first=model.spm_infill
        )
        self._cells = Cells(self.card.context)
        self._prefixes = prefixes = LlamaPrefixes(self._host, self._text, self._cells, folder, computes, self._batch)
        self._seats = Seats(self._server, self.card.slots, self._cells, prefixes.put_away, config.public_prefixes)
        self.tools = NativeTools(
            self._server,
            self._text,
            self._cells,
            self._seats,
            self._prefixes,
            self._specials,
            thoughts,
            context=self.card.context,
            batch=self._batch,
        )
        self._likelihoods = Likelihoods(self._server, self._pieces, self._batch)
        self._speller = Speller(files, self._text, self._pieces)
        self.tokenizer = LlamaTokenizer(
            self._text,
            self._reader,
            self._chats,
            self.tools,
            files.header,
            lambda: self._pieces,
            context=self.card.context,
            system=self._system,
            template=template(model.chat_format) if model.chat_format else files.header.chat_template or "",
        )
        self.pooler = NoPooler()
        self.scorer = Scorer(
            model.id,
            parameters,
            lambda task, work: self._read(task, work)[0],
            self._pieces,
            context=self.card.context,
            batch=config.step,
            unchanged=unchanged,
            threads=lambda: 1 if self._cells.busy else parameters["batch_threads"],
            takes=lambda: footprint.own(self._host.pid),
        )
        if config.llama_server:
            check_numbers(self._server, self.scorer, self.close)

    @property
    def stale(self) -> bool:
        return self._host.stale or self.scorer.host.stale

    def continues(self, task: TextTask) -> bool:
        calls = isinstance(task, Chat) and needs_form(task)
        return not calls and task.sampling.grammar is None  # llama.cpp begins one anew with each request

    def run(self, task: TextTask, execution: Cancellable, past: Sequence[Delta] = ()) -> Iterator[Event]:
        if not isinstance(task, Chat) or not needs_form(task):
            return self._compute(task, execution, past)
        if (answer := self._answer_natively(task, execution)) is not None:
            return answer
        events = self._compute(own_form(task, system=self._system), execution, past, OPENER)
        return parse(events, task) if isinstance(task, FineChat) and task.tools else events

    def _answer_natively(self, task: Chat, execution: Cancellable) -> Iterator[Event] | None:
        """In its template's own form of tools, where that can hold what is asked for."""
        check_size(task, self.card)
        self._reader.check([token for token, _ in task.sampling.logit_bias], "logit_bias")
        choosing = terms(complete(task.sampling, self.card.sampling), self.card.context)
        return self.tools.answer(task, choosing, execution, time.monotonic() + self._seconds)

    def _compute(
        self, task: TextTask, execution: Cancellable, past: Sequence[Delta], opener: str = ""
    ) -> Iterator[Event]:
        """Stop strings count only before the `opener`."""
        until = time.monotonic() + self._seconds
        prompt, texts, thinking, trimmed = self._read(task, execution)
        self._reader.check([token for token, _ in task.sampling.logit_bias], "logit_bias")
        self._reader.check(task.sampling.stop_token_ids, "stop_token_ids")
        sampling = self._chats.sampling(task) if isinstance(task, Chat) else task.sampling
        gap = task if isinstance(task, FineCompletion) and task.suffix is not None else None
        if gap and sampling.max_tokens == 0:
            sampling = replace(sampling, max_tokens=1)  # else llama.cpp would not be asked
        choosing = terms(complete(sampling, self.card.sampling), self.card.context, self._ends)
        if thinking.tags:
            choosing["preserved_tokens"] = thinking.specials
        if (top := sampling.logprobs) is not None:
            choosing |= self._likelihoods.terms(top)
        exact = task.token_ids or sampling.stop_token_ids or sampling.min_tokens or top is not None
        spell = functools.partial(self._speller.spell, preserved=thinking.specials) if exact else None
        answer = GrowingAnswer(sampling, choosing, thinking, past, opener)
        with self._seats.take(prompt, sampling.caching) as seat:
            for progress in self._prefixes.provide(seat, task, texts, prompt, execution, until):
                yield from () if past else (progress,)
            generation = Generation(
                seat,
                self._likelihoods,
                self._reader,
                self._cells,
                prompt,
                sampling,
                answer,
                self._batch,
                execution,
                until,
                spell,
            )
            events = generation.events(self.card.context)
            events = keep(events, sampling) if sampling.grammar else events
            events = fill(events, gap, past, generation.done, trimmed=trimmed) if gap else events
            yield from events if past else with_prompt(events, prompt, ids=task.token_ids)

    def _read(self, task: TextTask, work: Cancellable) -> tuple[list[int], list[str], Thinking, bool]:
        """The tokens of the prompt, the texts that a chat's are of, how to read the answer, and whether something was
        left out."""
        check_size(task, self.card)
        context = self.card.context
        if isinstance(task, Chat):
            given, thinking = self._chats.render(task, work)
            return self._reader.read(given, Room(context, "messages"), work), given, thinking, False
        if isinstance(task, FineCompletion) and task.suffix is not None:
            assert self._gaps, "it has the ability"
            tokens, trimmed = self._gaps.read(task, context, work)
            return tokens, [], Thinking(), trimmed
        return self._reader.read(task.prompt[0], Room(context, "prompt"), work), [], Thinking(), False

    def tokenize(self, text: str, work: Cancellable = NEVER) -> list[int]:
        return self._text.tokens(text, work)

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        self._reader.check(tokens, "tokens")
        return b"".join(self._pieces[token] for token in tokens)

    def close(self) -> None:
        self._prefixes.close()
        self.scorer.close()
        self._host.close()

    @property
    def sessions(self) -> Sessions:
        """Saves and loads what the first slot has read; for an engine with one slot, between two runs."""
        return Sessions(SlotState(self._server, self._host, 0), self._identity)

    @functools.cached_property
    def _pieces(self) -> list[bytes]:
        return pieces(self._files.path)
