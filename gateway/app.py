"""The application factory."""

from __future__ import annotations

from flask import Flask

from gateway import access, api, auth, cors, errors, health
from gateway.directory import Directory
from gateway.dispatch import Dispatcher
from gateway.durability import Confirmer
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.replies import Replies
from gateway.state import Gateway, set_gateway
from shared.config import Config
from shared.loops import Loops
from shared.store import connect
from shared.tickets import Tickets


def create_app(config: Config, keys: Keys) -> Flask:
    """One process's application, with its reader and its housekeeping running."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.max_body
    app.url_map.merge_slashes = False  # it would answer with a redirect in HTML
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it

    client = connect(config.redis_url)
    tickets = Tickets(client)
    replies = Replies(client)
    directory = Directory(client, tickets, config)
    dispatcher = Dispatcher(tickets, replies, directory, config)
    confirmer = Confirmer(connect(config.redis_url, retries=0))
    numbers = Metrics(connect(config.redis_url, timeout=1.0, retries=0))
    set_gateway(app, Gateway(config, client, tickets, directory, dispatcher, confirmer, numbers))
    replies.start()
    directory.start()
    confirmer.start(Loops())

    access.init_app(app)
    cors.init_app(app, config.cors_origins)
    auth.init_app(app, keys)
    errors.init_app(app)
    health.init_app(app)
    api.init_app(app)
    return app
