"""The formats: requests in, answers out. Pure: no Flask, no Redis, no clock, no randomness.

A new endpoint is one module beside `chat.py` and one line here.
"""

from __future__ import annotations

from gateway.schemas.anthropic.count_tokens import CountTokensFormat
from gateway.schemas.anthropic.messages import MessagesFormat
from gateway.schemas.chat import ChatFormat
from gateway.schemas.completion import CompletionFormat
from gateway.schemas.embeddings import EmbeddingFormat
from gateway.schemas.format import EVENTS, PAUSE, Format, Frame, Frames
from gateway.schemas.infill import InfillFormat
from gateway.schemas.ollama.embed import EmbeddingsFormat, EmbedFormat
from gateway.schemas.ollama.pull import PullFormat
from gateway.schemas.ollama.texts import GenerateFormat, OllamaChatFormat
from gateway.schemas.rerank import TEXTS, RerankFormat
from gateway.schemas.responses.compact import CompactFormat
from gateway.schemas.responses.format import ResponsesFormat
from gateway.schemas.responses.input_tokens import ResponseTokensFormat
from gateway.schemas.tokenizers import TOKENIZER_FORMATS
from shared.errors import NotUnderstood
from shared.protocol import Accepted, Chat, Completion, FineChat, FineCompletion, TextTask

__all__ = ["EVENTS", "FORMATS", "PAUSE", "Format", "Frame", "Frames", "format_of", "usual_format"]

_FORMATS = (
    ChatFormat(),
    CompletionFormat(),
    InfillFormat(),
    MessagesFormat(),
    CountTokensFormat(),
    ResponsesFormat(),
    ResponseTokensFormat(),
    CompactFormat(),
    EmbeddingFormat(),
    RerankFormat(),
    TEXTS,
    OllamaChatFormat(),
    GenerateFormat(),
    EmbedFormat(),
    EmbeddingsFormat(),
    PullFormat(),
    *TOKENIZER_FORMATS,
)
FORMATS: dict[str, Format] = {each.name: each for each in _FORMATS}
"""By the name that stands in `Accepted`, so that a stored job can be answered in the format it was asked in."""

_USUAL: dict[type[TextTask], str] = {
    Chat: ChatFormat.name,
    FineChat: ChatFormat.name,
    Completion: CompletionFormat.name,
    FineCompletion: CompletionFormat.name,
}


def usual_format(task: TextTask) -> Format:
    """The one in which such a task is answered where nobody has named another."""
    return FORMATS[_USUAL[type(task)]]


def format_of(accepted: Accepted) -> Format:
    """The one in which a job is answered. Release 0.1.0 named none. Raises NotUnderstood."""
    if not accepted.format and isinstance(accepted.task, TextTask):
        return usual_format(accepted.task)
    if accepted.format not in FORMATS:
        raise NotUnderstood(f"This version of inferq does not know the format {accepted.format!r}.")
    return FORMATS[accepted.format]
