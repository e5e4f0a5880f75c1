"""What the views need, held by the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask, current_app
from redis import Redis

from gateway.archive.archive import Archive
from gateway.archiver import Archiver
from gateway.directory import Directory
from gateway.dispatch import Dispatcher
from gateway.durability import Confirmer
from gateway.metrics import Metrics
from gateway.overview import Overviews
from gateway.recordings import Recordings
from gateway.single_flight import SingleFlight
from gateway.watchers import Watchers
from shared.config import Config
from shared.loops import Loops
from shared.registry import Worker
from shared.tickets import Tickets

if TYPE_CHECKING:  # who itself asks for these parts
    from gateway.batches.feeder import Feeder


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of one gateway process."""

    config: Config
    client: Redis
    tickets: Tickets
    directory: Directory
    dispatcher: Dispatcher
    confirmer: Confirmer
    metrics: Metrics
    loops: Loops
    archive: Archive
    recordings: Recordings
    archiver: Archiver
    feeder: Feeder
    workers: SingleFlight[list[Worker] | None]
    """Those there are; None where Redis is away."""
    overviews: Overviews
    watchers: Watchers
    name: str
    """By which Redis knows this process."""


def set_gateway(app: Flask, gateway: Gateway) -> None:
    app.extensions["inferq"] = gateway


def this_gateway() -> Gateway:
    """The parts of the process that handles the current request."""
    gateway: Gateway = current_app.extensions["inferq"]
    return gateway
