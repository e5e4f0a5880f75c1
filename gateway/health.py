"""Health: does the process live, and can it serve?"""

from __future__ import annotations

from flask import Blueprint, Flask, jsonify
from flask.typing import ResponseReturnValue

from gateway.state import this_gateway
from shared import registry
from shared.store import Outage

health = Blueprint("health", __name__)


@health.get("/healthz")
def healthz() -> ResponseReturnValue:
    """The process answers."""
    return jsonify(status="ok")


@health.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Redis answers, and a worker is there."""
    try:
        workers = registry.workers(this_gateway().client)
    except Outage as exc:
        return jsonify(status="unready", reason=f"redis: {exc}"), 503
    if not workers:
        return jsonify(status="unready", reason="no live worker"), 503
    return jsonify(status="ready", models=sorted({worker.card.id for worker in workers}))


def init_app(app: Flask) -> None:
    app.register_blueprint(health)
