"""Who asks, and what is theirs: a request's owner is the name of its API key, and sees the jobs of that owner only."""

from __future__ import annotations

from flask import Flask, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import Forbidden

from gateway.current_client import await_turn, belong_to
from gateway.errors import CLIENT_GONE
from gateway.guesses import Guesses
from gateway.keys import EVERYBODY, Keys, Owner
from gateway.origins import Doorkeeper
from gateway.peers import neighbourhood
from gateway.state import this_gateway
from shared.config import Config
from shared.errors import InvalidApiKey, JobNotFound, TooManyWrongKeys
from shared.store import translated
from shared.ticket import Ticket

OPEN = frozenset(
    {
        "docs.document",
        "docs.page",
        "front.index",
        "health.healthz",
        "health.readyz",
        "health.ready",
        "ui.asset",
        "ui.overview",
    }
)
"""Endpoints for everybody; strangers learn there no more than they must. All else is not, also what does not exist."""


def init_app(app: Flask, keys: Keys, config: Config) -> None:
    """Refuse requests without a key of `keys`; where it holds none, those that pages of strangers have sent."""
    guesses, doorkeeper = Guesses(keys), Doorkeeper(config)

    def identify() -> ResponseReturnValue | None:
        try:
            if keys:
                g.owner = _admitted(guesses.owner(_key(), g.peer))
            else:
                doorkeeper.check(request.environ)
                g.owner = EVERYBODY
        except (InvalidApiKey, TooManyWrongKeys, Forbidden) as exc:
            if request.endpoint not in OPEN:
                raise
            g.refusal = exc.description or "" if isinstance(exc, Forbidden) else exc.message
        else:
            belong_to(g.owner.name, request.environ)
            if not await_turn(g.owner.name or neighbourhood(g.peer), request.environ):
                return CLIENT_GONE
        return None

    app.before_request(identify)


def _admitted(owner: Owner) -> Owner:
    """Raises Forbidden where the current request asks for what is not the owner's to ask for."""
    if owner.metrics and request.endpoint != "health.metrics":
        raise Forbidden("This API key may read /metrics and nothing else.")
    return owner


def is_stranger() -> bool:
    """Whether the current request came to an endpoint for everybody, and would get nowhere else."""
    return "owner" not in g


def refusal() -> str:
    """What a stranger would be told anywhere else; empty for all others."""
    told: str = g.get("refusal", "")
    return told


def owner() -> Owner:
    """Who sends the current request, which is no stranger's."""
    found: Owner = g.owner
    return found


def own_ticket(job_id: str) -> Ticket:
    """The ticket of a job of the current request's owner.

    Raises JobNotFound, for a job of somebody else just as for one that there is not, and StoreUnavailable.
    """
    ticket = _ticket(job_id)
    if ticket.owner != owner().name:
        raise JobNotFound(job_id)
    return ticket


def seen_ticket(job_id: str) -> Ticket:
    """The ticket of a job whose state the current request's owner may see, and which he may cancel. Raises as above."""
    return _ticket(job_id) if owner().admin else own_ticket(job_id)


def _ticket(job_id: str) -> Ticket:
    with translated():
        return this_gateway().tickets.get(job_id)


def _key() -> str:
    """The API key of the current request, in OpenAI's header or in Anthropic's. Raises InvalidApiKey."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    bearer = rest.strip() if scheme.lower() == "bearer" else ""
    given = {bearer, request.headers.get("x-api-key", "").strip()} - {""}
    if not given:
        raise InvalidApiKey(
            "You did not provide an API key: send it in the header `Authorization: Bearer KEY`, or `x-api-key: KEY`."
        )
    if len(given) > 1:
        raise InvalidApiKey("The headers Authorization and x-api-key hold different API keys: send one.")
    return given.pop()
