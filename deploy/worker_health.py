"""Does the worker of this container serve? Redis must know it as live, and with its model loaded."""

import socket
import sys

from shared import registry
from shared.config import Config
from shared.store import connect

with connect(Config.from_env().redis_url, timeout=2, retries=0) as client:
    here = [worker for worker in registry.workers(client) if worker.host == socket.gethostname()]
if not here:
    sys.exit("Redis knows no live worker of this container")
if not any(worker.card for worker in here):
    sys.exit(here[0].reason)
