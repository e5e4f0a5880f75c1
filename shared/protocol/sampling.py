"""How the tokens of an answer are chosen, and what of their choice is told."""

from __future__ import annotations

from typing import Literal

from shared.protocol.record import Record


class Grammar(Record, frozen=True):
    """What a text may be. The gateway has looked that it can be kept, and that it is small enough."""

    kind: Literal["json", "regex", "choice", "lark"]
    source: str
    """A JSON Schema; a regular expression; a JSON array of strings; or a grammar in llguidance's Lark."""
    strict: bool = True
    """Of a schema: all of its keywords are kept. Else those that cannot be are passed over."""
    param: str = "grammar"
    """What the request calls it, for errors to name."""


class Caching(Record, frozen=True):
    """Who may use what is computed of a prompt, and for how long."""

    owner: str = ""
    """The API key whose request it is, for its worker to say; empty where the gateway knows no keys."""
    key: str = ""
    """Only requests of the same owner with the same key."""
    kept: bool = True
    """It may be kept on disk, for whoever comes later."""


_ANYBODYS = Caching()


class Sampling(Record, frozen=True):
    """How to choose tokens and when to stop. None means: the model's own default, else OpenAI's."""

    seed: int
    """0 <= seed < 2**32 - 1. Every job has one, so that it can be run again with the same outcome."""
    max_tokens: int | None = None
    """None: until the model stops or its context is full."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token id, what is added to its logit)."""
    cache_prompt: bool = True
    """The prompt need not be read where the engine still knows its tokens."""
    caching: Caching = _ANYBODYS

    # What follows is FINE, under llama.cpp's names; its defaults ask for nothing.
    min_tokens: int = 0
    """So many come before any that ends the answer, and before stop strings are looked for."""
    stop_token_ids: tuple[int, ...] = ()
    """Each ends the answer, before its own text."""
    repeat_last_n: int = 64
    """Tokens back to which the penalties look; -1: all."""
    top_n_sigma: float = 0.0
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    min_keep: int = 0
    samplers: tuple[str, ...] = ()
    """Which of SAMPLERS are used, in this order; none: all."""
    grammar: Grammar | None = None
    """Which tokens may come at all: the answer, without the thoughts before it, is a text of this grammar."""
    logprobs: int | None = None
    """Tell of every token of the answer how likely it was, and so many of the likeliest in its place; None: nothing."""
    prompt_logprobs: int | None = None
    """The same of the tokens of the prompt."""

    @property
    def fine(self) -> frozenset[str]:
        """What of FINE it asks for."""
        defaults = Sampling(self.seed)
        return frozenset(name for name in FINE if getattr(self, name) != getattr(defaults, name))

    def head(self) -> Sampling:
        """See `Accepted.head`: what is told of tokens, and what an answer that is stored repeats."""
        repeated = {name: getattr(self, name) for name in REPEATED}
        if self.logprobs is None and self.prompt_logprobs is None:
            return Sampling(self.seed, **repeated)
        return FineSampling(self.seed, **repeated, logprobs=self.logprobs, prompt_logprobs=self.prompt_logprobs)


class FineSampling(Sampling, frozen=True):
    """One that asks for something FINE, which a worker that knows none of it must not take for a `Sampling`."""


SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature", "adaptive_p")
"""In the order in which they are used, those of them that are on."""
REPEATED = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
"""What OpenAI's answers repeat of their requests where they are stored."""
FINE = frozenset(Sampling.__struct_fields__[Sampling.__struct_fields__.index("min_tokens") :])
"""Parts that release 0.2.0 did not have. An engine says on its card which of them it honours."""
