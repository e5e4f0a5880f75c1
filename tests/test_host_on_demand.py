"""A host that is started when it is needed, by who may have left before it is there."""

from __future__ import annotations

import threading

import pytest

from shared.errors import HostUnavailable, JobCancelled
from tests.answers import Running
from worker.engines.host import EngineHost
from worker.engines.host_on_demand import HostOnDemand


def test_who_waits_for_a_host_is_cancelled_and_the_next_has_it() -> None:
    may_start, hurried = threading.Event(), Running()

    def start() -> EngineHost:
        assert may_start.wait(20)
        return EngineHost("tests.fixtures.cut_host", "cut", {})

    host = HostOnDemand(start)
    threading.Timer(0.1, hurried.cancel).start()
    with pytest.raises(JobCancelled), host.use(hurried):
        pass
    may_start.set()
    with host.use(Running()) as first, host.use(Running()) as second:
        assert first is second
        assert host.pid == first.pid
    host.close()
    with pytest.raises(HostUnavailable, match="closed"), host.use(Running()):
        pass
    assert host.pid is None
