"""All that is served: each family of endpoints, and none anywhere else."""

from __future__ import annotations

from flask import Flask

from gateway import api, docs, front, health
from gateway.ui import views as ui


def init_app(app: Flask) -> None:
    for family in (health, front, ui, docs, api):
        family.init_app(app)
