"""The endpoints under /v1, one module a family, and llm-ui's. A view parses, calls, and formats; it decides nothing."""

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
    app.register_blueprint(llm_ui.views, url_prefix="/api")
