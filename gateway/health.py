"""Health: does the process live, can it serve, and how has it been?"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, jsonify, request
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
    """Redis answers, a worker has its model, and no loop keeps failing. Tells what is ready, and why others are not."""
    try:
        workers = registry.workers(this_gateway().client)
    except Outage as exc:
        return jsonify(status="unready", reason=f"redis: {exc}"), 503
    if trouble := this_gateway().loops.trouble:
        return jsonify(status="unready", reason=trouble), 503
    models = sorted({worker.model for worker in workers if worker.card})
    unready = [{"model": w.model, "worker": w.name, "reason": w.reason} for w in workers if not w.card]
    if not models:
        reason = "; ".join(f"{w.model}: {w.reason}" for w in workers) or "no live worker"
        return jsonify(status="unready", reason=reason, unready=unready), 503
    return jsonify(status="ready", models=models, unready=unready)


@health.get("/metrics")
def metrics() -> ResponseReturnValue:
    """The numbers for Prometheus."""
    blob, content_type = this_gateway().metrics.render(request.headers.get("Accept", ""))
    return Response(blob, content_type=content_type)


def init_app(app: Flask) -> None:
    app.register_blueprint(health)
