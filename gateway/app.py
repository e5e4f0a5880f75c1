"""The application factory."""

from __future__ import annotations

from contextlib import suppress

from flask import Flask
from redis import Redis

from gateway import access, answers, auth, cors, endpoints, errors, paths
from gateway.archive.archive import Archive
from gateway.archive.belonging import Belonging
from gateway.archive.housekeeping import Housekeeping
from gateway.archive.numbers import ArchiveNumbers
from gateway.archive.redis_index import RedisIndex
from gateway.archiver import Archiver
from gateway.batches.feeder import Feeder
from gateway.batches.lease import FeedLease
from gateway.batches.line_jobs import LineJobs
from gateway.batches.numbers import BatchNumbers
from gateway.directory import Directory
from gateway.dispatch import Dispatcher
from gateway.durability import Confirmer
from gateway.keys import Keys
from gateway.mailbox import Mailbox
from gateway.memory import Memory
from gateway.metrics import Metrics
from gateway.overview import Overviews
from gateway.peers import Proxies
from gateway.reconcile import Reconciler
from gateway.recordings import Recordings
from gateway.replies import Replies
from gateway.single_flight import SingleFlight
from gateway.state import Gateway, set_gateway
from gateway.watchers import Watchers
from shared import registry, tracing
from shared.config import Config
from shared.heap import Heap
from shared.loops import Loops
from shared.registry import Worker
from shared.store import Outage, connect, refuse_cluster
from shared.tickets import Tickets


def create_app(config: Config, keys: Keys) -> Flask:
    """One process's application, with its loops running.

    Raises ConfigError where others on this Redis have other settings or another archive, or trusted proxies are no
    networks.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.largest_body()  # a view that reads one looks at the models
    tracing.begin("gateway")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it

    client = connect(config.redis_url)
    hasty = connect(config.redis_url, timeout=1.0, retries=0)
    with suppress(*Outage):  # one that does not answer now is asked again later
        refuse_cluster(hasty)
        registry.check_lease(hasty, int(config.lease * 1000))
    numbers = Metrics(hasty)
    loops = Loops(numbers.count_loop_errors)
    loops.start("gauges", numbers.look, pause=1.0)
    Heap().start(loops)
    tickets = Tickets(client)
    replies = Replies(client, loops, config.lease)
    directory = Directory(client, tickets, loops, config)
    reconciler = Reconciler(tickets, replies, loops, config.retention, directory.failing)
    memory = Memory(tickets, loops, config, replies.stream)
    archive = Archive.open(config)
    stored = ArchiveNumbers(archive)
    numbers.add(stored)
    recordings = Recordings(client, archive)
    archiver = Archiver(tickets, recordings, archive, stored.count_answer)
    recordings.on_end = archiver.settle
    confirmer = Confirmer(connect(config.redis_url, retries=0), loops)
    if isinstance(archive.index, RedisIndex):
        archive.index.is_kept = confirmer.is_kept

    def keep(box: Mailbox) -> None:
        archiver.note(box.job_id)
        confirmer.confirm_end(box)

    dispatcher = Dispatcher(tickets, replies, reconciler, directory, memory, archiver, keep, config)
    workers = SingleFlight(lambda: _workers(client))
    line_jobs = LineJobs(tickets, directory, memory, config)
    lease = FeedLease(client, replies.stream)
    feeder = Feeder(archive, recordings, line_jobs, lease, keys, BatchNumbers(), app.app_context)
    overviews = Overviews(hasty, directory, dispatcher.estimator)
    watchers = Watchers(overviews, keys)
    belonging = Belonging(archive, hasty)
    belonging.check()
    belonging.start(loops)
    parts = (
        config,
        client,
        tickets,
        directory,
        dispatcher,
        confirmer,
        numbers,
        loops,
        archive,
        recordings,
        archiver,
        feeder,
        workers,
        overviews,
        watchers,
        replies.stream,
    )
    set_gateway(app, Gateway(*parts))
    for part in (replies, reconciler, directory, memory, confirmer, Housekeeping(archive, loops)):
        part.start()
    archiver.start(loops)
    feeder.start(loops)
    watchers.start(loops)

    answers.init_app(app)
    access.init_app(app, Proxies.parse(config.trusted_proxies))
    paths.init_app(app)
    cors.init_app(app, cors.Origins.parse(config.cors_origins))
    auth.init_app(app, keys, config)
    errors.init_app(app)
    endpoints.init_app(app)
    return app


def _workers(client: Redis) -> list[Worker] | None:
    try:
        return registry.workers(client)
    except Outage:
        return None


def leave(app: Flask) -> None:
    """The process ends: say so, unless Redis is slow to hear it. The port is not free before that."""
    gateway: Gateway = app.extensions["inferq"]
    gateway.feeder.stop()
    with suppress(*Outage), connect(gateway.config.redis_url, timeout=0.5, retries=0) as client:
        registry.leave_gateway(client, gateway.name)
    tracing.end()
