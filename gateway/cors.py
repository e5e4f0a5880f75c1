"""CORS: which web pages of other origins may use the API from a browser. None, unless configured."""

from __future__ import annotations

from flask import Flask, Response, request

_EXPOSED = "x-request-id, x-should-retry, Location, Preference-Applied, Retry-After, retry-after-ms"
_DAY = "86400"


def init_app(app: Flask, origins: str) -> None:
    """Let pages of `origins` in: a comma list such as `https://chat.example`, `*` for all, empty for none.

    Call it before what asks for API keys: a browser sends none with its preflight.
    """
    if not origins:
        return
    allowed = {origin.strip() for origin in origins.split(",")}

    def preflight() -> Response | None:
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or asked is None or not allowed_origin():
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
        # `*` would not cover Authorization, and clients have headers of their own.
        response.headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "")
        response.headers["Access-Control-Max-Age"] = _DAY
        return response

    def grant(response: Response) -> Response:
        response.vary.add("Origin")
        if origin := allowed_origin():
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response

    def allowed_origin() -> str | None:
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        return "*" if "*" in allowed else origin if origin in allowed else None

    app.before_request(preflight)
    app.after_request(grant)
