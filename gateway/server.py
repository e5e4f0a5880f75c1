"""The embedded server: gunicorn with gevent, one process a core."""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger
from setproctitle import setproctitle

from gateway import samples
from gateway.connections import Connections
from gateway.keys import Keys, check_strength, warn_if_open
from gateway.peers import Proxies
from shared import cores, logs
from shared.config import Config, ConfigError
from shared.lifeline import die_with_parent

log = logging.getLogger(__name__)

TITLE = "inferq gateway"
MOST_CONNECTIONS = 10_000
"""Of one process."""


class Server(BaseApplication):
    """gunicorn, told by a Config instead of by its own files and flags."""

    def __init__(self, config: Config, keys: Keys, counts: Path) -> None:
        self.config = config
        self.counts = counts
        self.keys = keys
        self.place = 0
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": addresses(self.config.host, self.config.port),
            "workers": self.config.gateway_processes or cores.usable(),
            "worker_class": Connections,
            "worker_connections": min(MOST_CONNECTIONS, _file_limit() // 2),  # the others are for Redis
            "keepalive": 75,
            "graceful_timeout": int(self.config.grace) + 1,
            "loglevel": "warning",
            "logger_class": _Log,
            "on_exit": lambda arbiter: shutil.rmtree(self.counts, ignore_errors=True),
            # Nothing of who asks, and how, is taken from headers here: see peers.py.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "limit_request_line": 8190,  # its most: /api/chat has a prompt there
            "control_socket_disable": True,  # it would lie in the home folder
            "pre_fork": self._before_fork,
            "post_worker_init": _begin,
            "worker_exit": lambda arbiter, worker: _leave(worker),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # Imported here, in the forked process and after gevent has patched the standard library.
        from gateway.app import create_app

        samples.take_place(self.place)
        try:
            return create_app(self.config, self.keys)
        except ConfigError as exc:
            raise AppImportError(f"inferq: {exc}") from exc  # ends it all, without a stack trace

    def _before_fork(self, arbiter: Any, worker: Any) -> None:
        setproctitle(TITLE)  # gunicorn sets its own after it has begun
        self.place = worker.place = samples.free_place(other.place for other in arbiter.WORKERS.values())


def addresses(host: str, port: int) -> list[str]:
    """Where to listen: on one loopback also on the other one, as clients take `localhost` for this or for that.

    Some try one only. A machine may have no IPv6, or somebody else on that port.
    """
    if host not in ("127.0.0.1", "localhost"):
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    both = [f"127.0.0.1:{port}"]
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("::1", port))
        both.append(f"[::1]:{port}")
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            log.warning("somebody else listens on [::1]:%d: clients that take localhost for it do not find us", port)
    return both


class _Log(Logger):
    """What gunicorn has to say, in the form of our own lines."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _file_limit() -> int:
    """How many files this process may have open, after having asked for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    with suppress(ValueError, OSError):  # macOS has limits of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def _begin(worker: Any) -> None:
    setproctitle(TITLE)
    gc.collect()
    gc.freeze()  # what was imported stays: who looks for garbage need not look there, and so looks more often
    die_with_parent()


def _leave(worker: Any) -> None:
    """Say that this process lives no longer, for those of its clients' jobs that are left."""
    if (app := getattr(worker, "wsgi", None)) is not None:  # else it did not get that far
        from gateway.app import leave

        leave(app)


def main(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; gunicorn ends the process itself."""
    logs.setup(config.log_level, config.log_format)
    os.environ.pop("SCRIPT_NAME", None)  # gunicorn would take it for a part of every path
    Proxies.parse(config.trusted_proxies)
    keys = Keys(config.api_keys, config.most_key_jobs)
    check_strength(keys, config.host)
    warn_if_open(keys, config.host)
    server = Server(config, keys, samples.prepare())
    log.info("listening on http://%s", server.cfg.settings["bind"].get()[0])
    server.run()
    return 0
