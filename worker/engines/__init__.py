"""Engines: what computes.

The protocol that all of them keep, and the registry that imports one only when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from msgspec import structs

from shared.cancellation import NEVER, Cancellable
from shared.card import Card
from shared.catalogue import ARCHITECTURES, AUTO, Model
from shared.config import Config
from shared.misfits import EngineMisfit
from shared.protocol import Decoded, Delta, Encoded, Encoding, Event, Pooled, PoolingTask, TextTask, TokenLogprob
from worker.engines.outline import OUTLINED, outline

UNTOLD = -1
"""Stands for a token that is not told, or that means nothing here, in `Delta.tokens`: only its text counts."""


class ModelTokenizer(Protocol):
    """That of one model."""

    def encode(self, task: Encoding, work: Cancellable = NEVER) -> Encoded:
        """The tokens of a text, or of a conversation: those that `run` counts as the prompt of the same chat.

        There may be more of them than the context holds, and no more than `most_told`. Raises InvalidRequest.
        """

    def decode(self, tokens: Sequence[int]) -> Decoded:
        """What the tokens stand for; what is no character is U+FFFD. Raises InvalidRequest."""

    def describe(self) -> dict[str, Any]:
        """What it is, in the names of Hugging Face's `tokenizer_config.json`; null is what the model has not."""


class PromptScorer(Protocol):
    """That of one model. Its methods raise what `Engine.run` raises."""

    def read(self, task: TextTask, work: Cancellable = NEVER) -> list[int]:
        """The tokens of the task's one prompt, as `Engine.run` reads them."""

    def score_prompt(
        self, task: TextTask, tokens: Sequence[int], work: Cancellable, top: int, *, further: bool
    ) -> Iterator[TokenLogprob]:
        """As `score`, of a whole prompt that `read` has read: its first token has no log probability."""

    def score(
        self, tokens: Sequence[int], after: int = 1, work: Cancellable = NEVER, top: int = 0, *, further: bool = False
    ) -> Iterator[TokenLogprob]:
        """How likely each of `tokens[after:]` is, given all the tokens before it; `after` is 1 or more.

        With the `top` likeliest in its place. `further`: at last the one that is the likeliest to come after them all,
        unless it would end the answer or has no text in it. Raises ContextLengthExceeded.
        """


class Pooler(Protocol):
    """That of one model. Its methods raise what `Engine.run` raises, and are called from several threads at once."""

    width: int
    """How many parts of one task are computed at once, at most: others' are to be as well."""

    def divide(self, task: PoolingTask, work: Cancellable = NEVER) -> Iterator[range]:
        """The places of inputs that are best computed together, all of them once; each range is a slot's work.

        May refuse what `pool` would, before anything is computed.
        """

    def pool(self, task: PoolingTask, places: range, work: Cancellable = NEVER) -> Pooled:
        """The vectors of the inputs at these places, of an `Embedding` of length 1 and with all their numbers.

        An input that is too long is cut off where the task has it so, see `Embedding.cut`, and else refused by its
        `param`: ContextLengthExceeded, InvalidRequest. A document's number is a logit: see `Reranking`.
        """


class Engine(Protocol):
    """One model, ready to compute.

    `run` may be called from as many threads at once as the card has slots. It yields the job's events, ending with
    `Done`; errors are raised as `InferqError`. The caller may close the iterator at any time.

    What is called with some work raises JobCancelled soon after that is cancelled, whatever its host is busy with.
    """

    card: Card

    @property
    def pace(self) -> Mapping[str, int]:
        """With how many `threads`, `batch_threads` and tokens of a `batch_size` its host computes, as far as it has
        them: see `registry.Worker`."""

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The model's, for those who ask about it."""

    @property
    def scorer(self) -> PromptScorer:
        """Tells how likely tokens are to the model."""

    @property
    def pooler(self) -> Pooler:
        """Makes vectors; only tasks get to it that the card's abilities allow."""

    @property
    def trouble(self) -> str:
        """What keeps it from computing, although it has been loaded once; empty when nothing does."""

    @property
    def stale(self) -> bool:
        """Whether that is that its files are others now: one that is loaded anew may do."""

    def continues(self, task: TextTask) -> bool:
        """Whether `run` can go on after a part of this task's answer."""

    def run(self, task: TextTask, execution: Cancellable, past: Sequence[Delta] = ()) -> Iterator[Event]:
        """Compute one choice of one prompt; `index` of the events stays 0. A task with several is split before.

        The answer ends before the first of the task's stop strings that its text has, `past` included, and as too long
        once it has taken the configured seconds. A prompt that cannot fit is refused before it is read: `check_size`.

        `past` is what an earlier execution has sent: go on after it, as if nothing had happened; `max_tokens` and the
        usage count it in. Only tasks get it that the engine `continues`. Where it has tokens that are `UNTOLD`, because
        another model made it or because they were never told, its text is read again.

        Where its sampling has `logprobs`, the pieces tell every token that the usage counts, and how likely it was: see
        `Delta.logprobs`. The last one tells which stop string has ended it, the task's or its chat format's.

        Where the task wants `token_ids`, the pieces tell every token: see `Delta.tokens`. The first piece tells what
        `with_prompt` adds to it.
        """

    def tokenize(self, text: str, work: Cancellable = NEVER) -> list[int]:
        """The tokens of a prompt, with the one that begins it where the model has such."""

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        """What the tokens stand for, in UTF-8; a token may be a part of a character. Raises InvalidRequest."""

    def close(self) -> None:
        """End the engine and its host."""


REGISTRY = {
    "ctransformers": "worker.engines.ctransformers:CtransformersEngine",
    "echo": "worker.engines.echo:EchoEngine",
    "llama.cpp": "worker.engines.llama_cpp_models:load_model",
}
"""By name, the module and the class of each, or what chooses one, which is called with (model, config);
`shared.catalogue.ENGINES` has the names too."""

_ONLY_LLAMA_CPP = {
    "adapters": "LoRA adapter",
    "draft": "draft",
    "rope_freq_base": "RoPE base",
    "rope_freq_scale": "RoPE scale",
    "spm_infill": "order of infill",
}


def load(model: Model, config: Config) -> Engine:
    """Load a model into its engine.

    Raises:
        EngineMisfit: there is no such engine, or it is not installed, or not for this model.
        ModelFileError: the model's file is damaged, or not for this engine.
        ModelLoadError: the engine refused the model.
    """
    name = choose(model)
    module, _, attribute = REGISTRY[name].partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except ImportError as exc:
        raise EngineMisfit(f"the engine {name!r} is not installed: {exc}") from exc
    for field, title in _ONLY_LLAMA_CPP.items():
        if getattr(model, field) and name != "llama.cpp":
            raise EngineMisfit(f"the engine {name} takes no {title}; llama.cpp does")
    config = own_settings(model, config)
    known = outline(model, config)
    engine: Engine = factory(model, config)
    engine.card = replace(engine.card, **{name: told for name in OUTLINED if (told := getattr(known, name))})
    return engine


def fit(model: Model, config: Config) -> Config:
    """With what `models.toml` has for the model and, where that leaves it open, with what fits it on this machine:
    which is measured first, where that was not done yet. Raises what `load` does, and DoesNotFit."""
    from worker.memory import fit_start

    return fit_start(model, own_settings(model, config))


def own_settings(model: Model, config: Config) -> Config:
    """With those that `models.toml` has for the model."""
    own = {name: getattr(model, name) for name in ("context", "slots", "threads")}
    return replace(config, **{name: value for name, value in own.items() if value is not None}, **model.settings)


def with_prompt(events: Iterable[Event], tokens: Sequence[int], *, ids: bool) -> Iterator[Event]:
    """The events of a run without a past: the first piece tells how many tokens its prompt has, or with `ids` which."""
    size, told = len(tokens), tuple(tokens) if ids else ()
    for event in events:
        if isinstance(event, Delta) and size:
            event, size = structs.replace(event, prompt_size=size, prompt_tokens=told), 0
        yield event


def choose(model: Model) -> str:
    """The name of the engine that `load` takes. Raises EngineMisfit, ModelFileError."""
    name = model.engine
    if name == AUTO and model.path:
        from worker.formats.legacy import read_legacy

        # Of GGUF files the catalogue knows it: what is left is a legacy one, which has to name its architecture.
        name = ARCHITECTURES[read_legacy(model.path, model.architecture or None).architecture]
    if name not in REGISTRY:
        raise EngineMisfit(f"unknown engine {name!r}; there are {', '.join(sorted(REGISTRY))}")
    return name
