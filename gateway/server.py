"""The embedded server: gunicorn with gevent, one process a core."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.app.base import BaseApplication
from setproctitle import setproctitle

from gateway.connections import Connections
from shared import cores, logs
from shared.config import Config
from shared.lifeline import die_with_parent

log = logging.getLogger(__name__)

TITLE = "inferq gateway"


class Server(BaseApplication):
    """gunicorn, told by a Config instead of by its own files and flags."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        settings: dict[str, Any] = {
            "bind": f"{host}:{self.config.port}",
            "workers": self.config.gateway_processes or cores.usable(),
            "worker_class": Connections,
            "worker_connections": 10_000,
            "keepalive": 75,
            "graceful_timeout": int(self.config.grace) + 1,
            "loglevel": "warning",
            "control_socket_disable": True,  # it would lie in the home folder
            "pre_fork": lambda arbiter, worker: setproctitle(TITLE),  # gunicorn sets its own after it has begun
            "post_worker_init": _begin,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # Imported here, in the forked process and after gevent has patched the standard library.
        from gateway.app import create_app

        return create_app(self.config)


def _begin(worker: Any) -> None:
    setproctitle(TITLE)
    die_with_parent()


def main(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; gunicorn ends the process itself."""
    logs.setup(config.log_level)
    server = Server(config)
    log.info("listening on http://%s", server.cfg.settings["bind"].get()[0])
    server.run()
    return 0
