"""Health: does the process live, can it serve, and how has it been?"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue

from gateway.auth import is_stranger
from gateway.openapi.operation import operation
from gateway.state import this_gateway
from shared.version import VERSION

health = Blueprint("health", __name__)

_LATER = {"Retry-After": "5"}
"""Nobody knows how long a model loads."""


@health.get("/healthz")
@operation("getHealthz")
def healthz() -> ResponseReturnValue:
    """Tell that the process answers."""
    return jsonify(status="ok")


@health.get("/readyz")
@operation("getReadyz")
def readyz() -> ResponseReturnValue:
    """Tell whether Redis answers, a worker has its model or an agent loads one on demand, and no loop keeps failing."""
    return _readiness("ready")


@health.get("/health")
@health.route("/ping", methods=["GET", "POST"])
@operation("getHealth", at="GET /health")
@operation("getPing", at="GET /ping")
@operation("postPing", at="POST /ping")
def ready() -> ResponseReturnValue:
    """Tell the same as `/readyz`, in the words and at the places where clients of llama.cpp and vLLM look for it."""
    return _readiness("ok")


@health.get("/version")
@operation("getVersion")
def version() -> ResponseReturnValue:
    """Tell the release, as vLLM does."""
    return jsonify(version=VERSION)


def _readiness(word: str) -> ResponseReturnValue:
    """`word` says that we are ready.

    Why not is told in one of four words, for anybody may ask; the log and `inferq status` say more. Strangers are not
    told the models.
    """
    workers = this_gateway().workers()
    if workers is None:
        return jsonify(status="unready", reason="redis_unavailable"), 503, _LATER
    ready = sorted({worker.model for worker in workers if worker.card})
    unready = sorted({worker.model for worker in workers if not worker.card})
    on_demand = this_gateway().directory.on_demand
    told = {} if is_stranger() else {"models": ready, "unready": unready}
    if on_demand and told:
        told["on_demand"] = on_demand
    if this_gateway().loops.trouble:
        return jsonify(status="unready", reason="loop_failing", **told), 503, _LATER
    if not (ready or on_demand):
        return jsonify(status="unready", reason="no_model_loaded" if unready else "no_worker", **told), 503, _LATER
    return jsonify(status=word, **told)


@health.get("/metrics")
@operation("getMetrics", media=("text/plain",))
def metrics() -> ResponseReturnValue:
    """Tell the numbers for Prometheus."""
    blob, content_type = this_gateway().metrics.render(request.headers.get("Accept", ""))
    return Response(blob, content_type=content_type)


def init_app(app: Flask) -> None:
    app.register_blueprint(health)
