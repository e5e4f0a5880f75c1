"""What a job can be asked to compute."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

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

    @property
    def fine(self) -> frozenset[str]:
        """What of FINE it asks for."""
        defaults = Sampling(self.seed)
        return frozenset(name for name in FINE if getattr(self, name) != getattr(defaults, name))


class FineSampling(Sampling, frozen=True):
    """One that asks for something FINE, which a worker that knows none of it must not take for a `Sampling`."""


SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature", "adaptive_p")
"""In the order in which they are used, those of them that are on."""
FINE = frozenset(Sampling.__struct_fields__[Sampling.__struct_fields__.index("min_tokens") :])
"""Parts that release 0.2.0 did not have. An engine says on its card which of them it honours."""


class Message(Record, frozen=True):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class ToolCall(Record, frozen=True):
    """A call that the assistant has made in an earlier turn."""

    id: str
    name: str
    arguments: str
    """JSON, as the assistant has written it; of a custom tool its input, which is any text."""
    custom: bool = False


class FineMessage(Message, frozen=True):
    """One with more than text, which a worker that knows none of it must not take for a `Message`."""

    tool_calls: tuple[ToolCall, ...] = ()
    """Of the assistant."""
    tool_call_id: str = ""
    """Of a tool: which call this is the result of."""
    name: str = ""
    """Of a tool: its name, where the request tells it, or the call does."""
    reasoning: str = ""
    """Of the assistant: its thoughts before it answered."""


class Tool(Record, frozen=True):
    """What the assistant may call."""

    name: str
    description: str = ""
    parameters: str = ""
    """The JSON Schema of its arguments, an object; empty where it has none, and of a custom tool."""
    strict: bool = False
    """The arguments keep all of the schema."""
    custom: bool = False
    """It takes a text."""
    grammar: Grammar | None = None
    """Of that text."""


Prompt = str | tuple[int, ...]
"""A text, or the ids of its tokens."""


class Completion(Record, frozen=True):
    """Continue texts: `n` choices of each prompt, those of the first prompt first."""

    model: str
    prompt: tuple[Prompt, ...]
    sampling: Sampling | FineSampling
    n: int = 1
    best_of: int = 1
    """More than `n`: compute so many of each prompt, and answer the `n` whose tokens are the likeliest on average."""
    token_ids: bool = False
    """Tell the ids of every token, those of the prompt too."""

    @property
    def choices(self) -> int:
        """How many choices the answer has."""
        return len(self.prompt) * self.n

    def head(self) -> Completion:
        """See `Accepted.head`: as many prompts, each empty."""
        return replace(self, prompt=("",) * len(self.prompt), sampling=Sampling(self.sampling.seed))


class Chat(Record, frozen=True):
    """Answer a conversation, `n` times."""

    model: str
    messages: tuple[Message | FineMessage, ...]
    sampling: Sampling | FineSampling
    n: int = 1
    continue_final: bool = False
    """The last message, the assistant's, is the beginning of the answer; only what comes after it is answered."""
    token_ids: bool = False
    """Tell the ids of every token, those of the prompt too."""

    @property
    def choices(self) -> int:
        """How many choices the answer has."""
        return self.n

    @property
    def has_called(self) -> bool:
        """Whether calls, or results of some, stand in the conversation."""
        return any(
            turn.role == "tool" or (isinstance(turn, FineMessage) and bool(turn.tool_calls)) for turn in self.messages
        )

    def head(self) -> Chat:
        """See `Accepted.head`: without its messages."""
        return replace(self, messages=(), sampling=Sampling(self.sampling.seed))


class FineChat(Chat, frozen=True):
    """One that has tools, or says how to think, which a worker that knows none of it must not take for a `Chat`."""

    tools: tuple[Tool, ...] = ()
    """Those that may be called: of more, the request allows only these."""
    must_call: bool = False
    """The answer has one call at least."""
    parallel_calls: bool = True
    """It may have several."""
    thinking: bool | None = None
    """Whether to think; None: as the model's template does."""
    effort: str = ""
    """How much to think, in OpenAI's words; empty: as the template does."""
    thinking_budget: int | None = None
    """Tokens of thoughts at most; None: as many as it wants."""
    template_kwargs: str = ""
    """Further variables of the template: a JSON object."""

    def simplest(self) -> Chat:
        """The same as a `Chat`, where it asks for nothing more."""
        plain = [getattr(self, name) for name in Chat.__struct_fields__]
        return Chat(*plain) if self == FineChat(*plain) else self

    def head(self) -> FineChat:
        """See `Accepted.head`."""
        sampling = Sampling(self.sampling.seed)
        return FineChat(self.model, (), sampling, self.n, self.continue_final, self.token_ids)


TextTask = Completion | Chat | FineChat
"""What is answered with text, in choices."""

Task = TextTask
"""Whatever a job can be asked to compute."""
