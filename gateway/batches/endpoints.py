"""The endpoints whose requests a batch may hold."""

from __future__ import annotations

from gateway.schemas import FORMATS, Format

ENDPOINTS: dict[str, Format] = {
    "/v1/chat/completions": FORMATS["openai.chat"],
    "/v1/completions": FORMATS["openai.completion"],
    "/v1/responses": FORMATS["openai.responses"],
    "/v1/messages": FORMATS["anthropic.messages"],
    "/v1/embeddings": FORMATS["openai.embedding"],
    "/v1/rerank": FORMATS["cohere.rerank"],
    "/v1/infill": FORMATS["llama.cpp.infill"],
}
"""By their paths, as batches and the lines of their files name them: how each of those lines is read and answered."""
