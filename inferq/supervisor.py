"""`inferq up`: Valkey, the gateway and the workers as children of one process, which they never outlive."""

from __future__ import annotations

import http.client
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.keys import Keys, check_strength
from gateway.peers import Proxies
from inferq import data_dir, port, pull
from inferq.agent.machine import Machine
from inferq.child import LEAVE, Child
from inferq.cli import INTERRUPTED
from inferq.embedded import EmbeddedValkey
from inferq.errors import StartError
from inferq.inspection import inspect_model
from inferq.memory import settle
from inferq.selection import Selection
from inferq.stop_signals import StopSignals
from inferq.terminal import echo
from inferq.welcome import Waiting, tell_how_to_begin
from shared import cores, registry, store
from shared.card import Card
from shared.catalogue import WITHOUT_FILE, Model
from shared.config import PREFIX, Config, ConfigError
from shared.progress import listen

log = logging.getLogger("inferq.supervisor")

TRIES = 3
"""How often one child may fail before everything was ready once; later it is started again for ever."""

_TOGETHER = 2
"""Models on demand that may compute at one time: each gets its part of the cores. Threads of several that want
the same core wait for each other ten times as long as they compute."""
_ROUND = 60.0
"""Seconds after which the supervisor looks around although nothing has happened."""


def up(choice: Selection, config: Config, *, folder: Path, workers: int) -> int:
    """Serve the chosen models, each by `workers` workers, until a signal says to stop. Returns the exit status.

    `folder` is the data directory.

    Raises InferqError for whatever keeps it from starting.
    """
    # It complains now, rather than in a gateway that is started again and again.
    check_strength(Keys(config.api_keys), config.host)
    Proxies.parse(config.trusted_proxies)
    models = choice.models(config.models)
    _check_names(models)
    with data_dir.hold(folder) as killed:
        # What was killed may hold the port until it notices.
        found = port.find(config.host, config.port, patience=3.0 if killed else 0.0)
        archive, prefixes = ((folder / name).resolve() for name in ("archive", "prefixes"))
        config = replace(
            config, port=found, archive=config.archive or str(archive), prefixes=config.prefixes or str(prefixes)
        )
        models, shares = settle(provide(models), config, workers)
        server = None if os.environ.get(PREFIX + "REDIS_URL") else EmbeddedValkey(folder, config.max_memory)
        Supervisor(choice, models, config, workers, server, shares, folder).run()
    return 0


def provide(models: Sequence[Model]) -> list[Model]:
    """With their files, which are fetched where they are not here."""
    found = list[Model]()
    for model in models:
        with listen(partial(log.info, "%s: %s", model.id)):
            found.append(inspect_model(pull.provide(model)))
    return found


def _check_names(models: Sequence[Model]) -> None:
    names = [name for model in models for name in (model.id, *model.aliases)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two models are called {name!r}: requests could not tell them apart; rename one")


class Supervisor:
    """Starts the children, keeps them running, and ends them in order."""

    def __init__(
        self,
        choice: Selection,
        models: Sequence[Model],
        config: Config,
        workers: int,
        server: EmbeddedValkey | None,
        shares: Sequence[str],
        folder: Path,
    ) -> None:
        started = workers * sum(model.engine not in WITHOUT_FILE for model in models)
        computing = started if choice.names else config.max_loaded or _TOGETHER
        if config.cores == 0 and computing > 1:
            config = replace(config, cores=max(1, cores.physical() // computing))
        self._wanted = [model.id for model in models]
        self._config = replace(config, expected_models=",".join(config.expected | set(self._wanted)))
        self._cards: list[Card] = []
        self._server, self._folder = server, folder
        self._waiting = Waiting(self._wanted)
        self._valkey = [Child("valkey", server.spawn)] if server else []
        self._gateway = [Child("gateway", partial(self._spawn, "gateway"))]
        self._workers = [
            # Whether there is memory for other weights is decided here, where all models are known.
            Child(f"worker {name}", partial(self._spawn, "worker", *choice.flags(), *exact, "--", name, memory=part))
            for name, part, exact in zip(choice.names, shares, map(_exact, models), strict=True)
            for _ in range(workers)
        ]
        self._machine = None if choice.names else Machine(folder, choice.adapt, partial(self._spawn_worker, choice))

    def run(self) -> None:
        """Return when a signal said to stop and everything has ended. Raises StartError."""
        with StopSignals(self._end_at_once) as stop:
            try:
                with listen(partial(log.info, "redis: %s")):
                    self._open_store()
                if self._machine:
                    self._machine.start(self._config)
                self._watch(stop)
            finally:
                self._stop()

    def _open_store(self) -> None:
        if self._server:
            self._valkey[0].adopt(self._server.start())
            self._config = replace(self._config, redis_url=self._server.url)
        with store.connect(self._config.redis_url, timeout=2.0, retries=0) as client:
            try:
                store.refuse_cluster(client)
            except store.Outage as exc:
                raise StartError(f"the Redis that {PREFIX}REDIS_URL names does not answer: {exc}") from exc
            if self._server:
                registry.forget_all(client)

    def _watch(self, stop: StopSignals) -> None:
        ready = False
        while not stop.received:
            for child in (*self._valkey, *self._gateway, *self._workers):
                child.tend()
                if child.refused and (not ready or child in self._gateway):
                    raise StartError(f"{child.name} cannot run as it is; see above", permanent=True)
                if child.failures >= TRIES and not ready:
                    raise StartError(f"{child.name} ended {TRIES} times before it was ready")
            if self._server:
                self._server.shorten_log()
            if not ready and (ready := self._is_ready()):
                tell_how_to_begin(self._url, self._cards, self._config, self._folder)
                echo(f"ready: {self._url}")
            stop.wait(self._pause() if ready else 0.1)

    def _is_ready(self) -> bool:
        try:
            with store.connect(self._config.redis_url, timeout=1.0, retries=0) as client:
                workers = registry.workers(client)
            self._waiting.look(workers)
            cards = {worker.model: worker.card for worker in workers if worker.card}
            if not cards.keys() >= set(self._wanted):
                return False
            self._cards = [cards[model] for model in self._wanted]
            if self._machine:
                self._cards += self._machine.outlines()
            connection = http.client.HTTPConnection(self._address, timeout=1.0)
            with closing(connection):
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.client.OK
        except store.Outage:
            self._waiting.look(None)
            return False
        except (OSError, http.client.HTTPException):  # of the gateway
            return False

    def _pause(self) -> float:
        """Seconds until a child is to be started again, or it is time to look after the log."""
        due = [child.due for child in (*self._valkey, *self._gateway, *self._workers) if not child.running]
        return min(_ROUND, max(0.0, min(due) - time.monotonic())) if due else _ROUND

    def _stop(self) -> None:
        """The gateway first, so that nothing new is accepted; Valkey last, so that nothing that was said is lost."""
        log.info("stopping")
        if self._machine:
            self._machine.pause()
        for group, patience in (
            (self._gateway, self._config.grace + LEAVE),
            (self._workers, self._config.grace + LEAVE),
            (self._valkey, 10.0),
        ):
            for child in group:
                child.terminate()
            deadline = time.monotonic() + patience
            for child in group:
                child.join(deadline - time.monotonic())
            if group is self._workers and self._machine:
                self._machine.stop(patience)
        if self._server:
            self._server.close()

    def _end_at_once(self) -> None:
        if self._machine:
            self._machine.kill()
        for child in (*self._gateway, *self._workers, *self._valkey):
            child.kill()
        os._exit(INTERRUPTED)

    def _spawn_worker(self, choice: Selection, name: str, memory: int | None) -> subprocess.Popen[bytes]:
        only = ["--only-fetch"] if memory is None else []
        return self._spawn("worker", *choice.flags(), *only, "--", name, memory=f"{memory}B" if memory else "")

    def _spawn(self, *arguments: str, memory: str = "") -> subprocess.Popen[bytes]:
        command, *rest = arguments
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        config = (
            self._config
            if command == "gateway"
            else replace(self._config, api_keys="", memory=memory or self._config.memory)
        )
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "inferq", command, "--parent", str(os.getpid()), *rest],
            env=environ | config.to_env(),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # our own stdout carries the ready line and nothing else
            start_new_session=True,
        )

    @property
    def _address(self) -> str:
        return f"{port.reachable(self._config.host)}:{self._config.port}"

    @property
    def _url(self) -> str:
        return f"http://{self._address}"


def _exact(model: Model) -> list[str]:
    return [] if model.prepared_from else ["--as-is"]
