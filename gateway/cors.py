"""CORS: which web pages of other origins may use the API from a browser. None, unless configured."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, Response, request

_EXPOSED = (
    "x-request-id, request-id, x-should-retry, Location, Preference-Applied, Retry-After, retry-after-ms,"
    " x-inferq-ignored"
)
_DAY = "86400"


@dataclass(frozen=True, slots=True)
class Origins:
    """Those whose pages are let in."""

    names: frozenset[str]

    @classmethod
    def parse(cls, setting: str) -> Origins:
        """A comma list such as `https://chat.example`, `*` for all, empty for none."""
        return cls(frozenset(filter(None, map(str.strip, setting.split(",")))))

    def allow(self, origin: str) -> bool:
        return self.all or origin in self.names

    @property
    def all(self) -> bool:
        return "*" in self.names


def init_app(app: Flask, origins: Origins) -> None:
    """Let pages of `origins` in. Call it before what asks for API keys: a browser sends none with its preflight."""
    if not origins.names:
        return

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
        if origin is None or not origins.allow(origin):
            return None
        return "*" if origins.all else origin

    app.before_request(preflight)
    app.after_request(grant)
