"""The endpoints: one module a family, under /v1, and those of llm-ui and Ollama under /api. A view parses, calls, and
formats; it decides nothing."""

from __future__ import annotations

from flask import Flask

from gateway.api import (
    batches,
    chat,
    completions,
    conversations,
    embeddings,
    files,
    infill,
    jobs,
    llm_ui,
    messages,
    models,
    ollama,
    overview,
    props,
    rerank,
    response_input,
    responses,
    stored_chats,
    tokenizers,
    uploads,
)

FAMILIES = (
    chat,
    stored_chats,
    completions,
    response_input,
    responses,
    conversations,
    files,
    uploads,
    batches,
    messages,
    infill,
    embeddings,
    rerank,
    tokenizers,
    models,
    jobs,
    overview,
    props,
)


def init_app(app: Flask) -> None:
    for family in FAMILIES:
        app.register_blueprint(family.views, url_prefix="/v1")
    for family in (llm_ui, ollama):
        app.register_blueprint(family.views, url_prefix="/api")
