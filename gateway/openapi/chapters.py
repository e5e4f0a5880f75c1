"""The chapters of the description: which families of endpoints belong together, in this order."""

from __future__ import annotations

from typing import NamedTuple


class Chapter(NamedTuple):
    """Operations that are told together."""

    name: str
    families: tuple[str, ...]
    """The names of their blueprints."""
    about: str


CHAPTERS = (
    Chapter("Chat", ("chat", "stored_chats"), "Conversations, answered as OpenAI's Chat Completions API does."),
    Chapter("Responses", ("responses", "response_input"), "Items, answered as OpenAI's Responses API does."),
    Chapter("Conversations", ("conversations",), "Items that are kept in an order, for responses to go on with."),
    Chapter("Messages", ("messages",), "Conversations, answered as Anthropic's Messages API does."),
    Chapter("Ollama", ("ollama",), "Models, conversations, texts and vectors, as Ollama's API has them."),
    Chapter("Completions", ("completions", "infill"), "Texts that are gone on with, and gaps that are filled."),
    Chapter("Embeddings", ("embeddings", "rerank"), "The vectors of texts, and what they are good for."),
    Chapter("Batches", ("batches",), "Files of requests, each line answered when there is time for it."),
    Chapter("Files", ("files", "uploads"), "What is stored by name, at once or in parts."),
    Chapter("Tokenizers", ("tokenizers",), "What a model reads: tokens of a text or a conversation, and back."),
    Chapter("Models", ("models", "props"), "The models that may be asked for."),
    Chapter("Jobs", ("jobs",), "Whatever is computed, while it waits and runs, and for a while after."),
    Chapter("Overview", ("overview",), "What goes on, and what the last hour was like."),
    Chapter("Plain text", ("llm_ui",), "An answer and nothing else."),
    Chapter("Gateway", ("front", "docs", "health"), "Where one is, and how it is."),
)
_OF = {family: chapter for chapter in CHAPTERS for family in chapter.families}


def chapter_of(family: str) -> Chapter:
    """The one that a blueprint belongs to; one that nobody has placed has its own."""
    return _OF.get(family) or Chapter(family.replace("_", " ").capitalize(), (family,), "")


def place(family: str) -> tuple[int, int]:
    """Where it stands among all."""
    chapter = chapter_of(family)
    return CHAPTERS.index(chapter) if chapter in CHAPTERS else len(CHAPTERS), chapter.families.index(family)
