"""The endpoints under /v1, one module a family. A view parses, calls, and formats; it decides nothing."""

from __future__ import annotations

from flask import Flask

from gateway.api import chat, completions, jobs, models


def init_app(app: Flask) -> None:
    for family in (completions, chat, models, jobs):
        app.register_blueprint(family.views, url_prefix="/v1")
