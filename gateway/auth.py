"""Who asks, and what is theirs: a request's owner is the name of its API key, and sees the jobs of that owner only."""

from __future__ import annotations

from flask import Flask, g, request

from gateway.client import belong_to
from gateway.keys import EVERYBODY, Keys, Owner
from gateway.state import this_gateway
from shared.errors import InvalidApiKey, JobNotFound
from shared.store import translated
from shared.ticket import Ticket

_OPEN = frozenset({"health.healthz", "health.readyz"})
"""Endpoints for which nobody needs a key. All else needs one, also what does not exist."""


def init_app(app: Flask, keys: Keys) -> None:
    """Refuse requests without a key of `keys`, if it holds any."""

    def identify() -> None:
        g.owner = keys.owner(_bearer()) if keys and request.endpoint not in _OPEN else EVERYBODY
        belong_to(g.owner.name, request.environ)

    app.before_request(identify)


def owner() -> Owner:
    """Who sends the current request."""
    found: Owner = g.owner
    return found


def own_ticket(job_id: str) -> Ticket:
    """The ticket of a job of the current request's owner.

    Raises JobNotFound, for a job of somebody else just as for one that there is not, and StoreUnavailable.
    """
    with translated():
        ticket = this_gateway().tickets.get(job_id)
    if ticket.owner != owner().name:
        raise JobNotFound(job_id)
    return ticket


def _bearer() -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidApiKey("You did not provide an API key: send it in the header `Authorization: Bearer KEY`.")
    return key.strip()
