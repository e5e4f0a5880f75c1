"""What a job can be asked to compute."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from shared.protocol.pooling import Embedding, PoolingTask, Reranking
from shared.protocol.prompt import Prompt
from shared.protocol.record import Record
from shared.protocol.sampling import FineSampling, Grammar, Sampling


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


class Passage(Record, frozen=True):
    """A part of a file."""

    name: str
    """Of the file."""
    text: str


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
        return replace(self, prompt=("",) * len(self.prompt), sampling=self.sampling.head())


class FineCompletion(Completion, frozen=True):
    """One that fills a gap or repeats its prompt, which a worker that knows none of it must not take for a
    `Completion`."""

    echo: bool = False
    """Tell the text of the prompt too."""
    suffix: str | None = None
    """What comes after the answer; the prompt comes before it."""
    beside: tuple[Passage, ...] = ()
    """What else helps to fill the gap, the most helpful last."""
    line: str = ""
    """Follows the prompt, and is read apart from it: the beginning of the line that the gap is in."""
    trims: bool = False
    """What has no room is left out, what is farthest from the gap first; else it is refused."""
    indent: int = 0
    """A line after the answer's first ends it where it has fewer spaces and tabs before anything else."""
    line_ms: int = 0
    """So many milliseconds after its first token the answer ends with the next line; 0: it may take longer."""

    def simplest(self) -> Completion:
        """The same as a `Completion`, where it asks for nothing more."""
        plain = [getattr(self, name) for name in Completion.__struct_fields__]
        return Completion(*plain) if self == FineCompletion(*plain) else self

    def head(self) -> FineCompletion:
        """See `Accepted.head`."""
        prompt, sampling = ("",) * len(self.prompt), self.sampling.head()
        return FineCompletion(self.model, prompt, sampling, self.n, self.best_of, self.token_ids, self.echo)


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
        return replace(self, messages=(), sampling=self.sampling.head())


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
    trims: bool = False
    """Turns that have no room are left out, the oldest first; else the conversation is refused."""

    def simplest(self) -> Chat:
        """The same as a `Chat`, where it asks for nothing more."""
        plain = [getattr(self, name) for name in Chat.__struct_fields__]
        return Chat(*plain) if self == FineChat(*plain) else self

    def head(self) -> FineChat:
        """See `Accepted.head`."""
        sampling = self.sampling.head()
        return FineChat(self.model, (), sampling, self.n, self.continue_final, self.token_ids)


TextTask = Completion | FineCompletion | Chat | FineChat
"""What is answered with text, in choices."""


def tells_tokens(task: Task) -> bool:
    """Whether its answer tells of tokens one by one, or of the prompt."""
    if not isinstance(task, TextTask):
        return False
    echoes = isinstance(task, FineCompletion) and task.echo
    scores = task.sampling.logprobs is not None or task.sampling.prompt_logprobs is not None
    return task.token_ids or echoes or scores


class Encoding(Record, frozen=True):
    """Tell what the model reads of a text, or of a conversation as its template renders it."""

    model: str
    given: str | Chat | FineChat
    special: bool = True
    """Of a text: begin with the tokens with which prompts begin."""
    parse_special: bool = True
    """Of a text: what is the name of a special token stands for it."""
    pieces: bool = False
    """Tell the text of each token too."""
    opens: bool = True
    """Of a conversation: it ends where the answer begins, and not with the end of its last message."""

    def head(self) -> Encoding:
        """See `Accepted.head`."""
        return Encoding(self.model, "", pieces=self.pieces)


class Decoding(Record, frozen=True):
    """Tell the text that tokens stand for."""

    model: str
    tokens: tuple[int, ...]

    def head(self) -> Decoding:
        """See `Accepted.head`."""
        return Decoding(self.model, ())


class Describing(Record, frozen=True):
    """Tell what the model's tokenizer is."""

    model: str

    def head(self) -> Describing:
        """See `Accepted.head`."""
        return self


TokenizerTask = Encoding | Decoding | Describing
"""What is asked of a model's tokenizer, and answered at once."""


Task = TextTask | TokenizerTask | PoolingTask
"""Whatever a job can be asked to compute."""


def text_task(task: Task) -> TextTask | None:
    """The task that is answered with text: this one, or the one whose prompt it asks about."""
    match task:
        case Encoding(given=Chat() as chat):
            return chat
        case Encoding() | Decoding() | Describing() | Embedding() | Reranking():
            return None
    return task
