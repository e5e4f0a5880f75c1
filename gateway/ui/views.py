"""GET /overview, GET /ui/…: the page and its files. Nobody needs a key for them: they hold no secrets."""

from __future__ import annotations

from functools import cache

from flask import Blueprint, Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from gateway.openapi.operation import operation
from gateway.ui.site import POLICY, Asset, Site

views = Blueprint("ui", __name__)

_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def site() -> Site:
    return Site.read()


@views.get("/overview")
@operation("getOverviewPage", media=("text/html",))
def overview() -> ResponseReturnValue:
    """Show people what goes on: queues, workers, jobs and speed. Needs a browser."""
    return page("overview")


@views.get("/ui/<edition>/<path:name>")
@operation("getPageFile", media=("text/javascript", "text/css"))
def asset(edition: str, name: str) -> ResponseReturnValue:
    """Send a file of the page. Its edition tells when it has changed."""
    found = site().assets.get(name)
    if found is None:
        raise NotFound
    response = _send(found)
    # Another edition's page, of a gateway of another release behind the same name, gets what there is, this once.
    response.headers["Cache-Control"] = _FOR_EVER if edition == site().edition else "no-store"
    return response


def page(name: str) -> Response:
    """One of the pages, to be shown by a browser."""
    response = _send(site().pages[name])
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _send(asset: Asset) -> Response:
    packed = request.accept_encodings["gzip"] > 0
    response = Response(asset.packed if packed else asset.blob, mimetype=asset.kind)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(asset.mark + ("-gzip" if packed else ""))
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response


def init_app(app: Flask) -> None:
    app.register_blueprint(views)
