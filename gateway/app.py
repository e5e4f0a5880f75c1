"""The application factory."""

from __future__ import annotations

from uuid import uuid4

from flask import Flask, Response, g

from gateway import api, errors, health
from gateway.directory import Directory
from gateway.dispatch import Dispatcher
from gateway.replies import Replies
from gateway.state import Gateway, set_gateway
from shared.config import Config
from shared.store import connect
from shared.tickets import Tickets


def create_app(config: Config) -> Flask:
    """One process's application, with its reader and its housekeeping running."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.max_body
    app.url_map.merge_slashes = False  # it would answer with a redirect in HTML
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it

    client = connect(config.redis_url)
    tickets = Tickets(client)
    replies = Replies(client)
    directory = Directory(client, tickets, config)
    set_gateway(app, Gateway(config, client, tickets, directory, Dispatcher(tickets, replies, directory, config)))
    replies.start()
    directory.start()

    app.before_request(_name_request)
    app.after_request(_tell_name)
    errors.init_app(app)
    health.init_app(app)
    api.init_app(app)
    return app


def _name_request() -> None:
    g.request_id = f"req_{uuid4().hex}"


def _tell_name(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    return response
