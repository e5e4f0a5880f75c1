"""A Redis Cluster is refused in words, by whatever is started on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import inferq
from tests.stack import Stack


class Cluster(Stack):
    """A Valkey that is a node of a cluster."""

    valkey_options = ("--cluster-enabled", "yes")


@pytest.fixture(scope="module", params=[False, True], ids=["forming", "formed"])
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    stack = Cluster(tmp_path_factory.mktemp("cluster"))
    if request.param:
        stack.redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]  # redis-py has no types for it
    try:
        yield stack
    finally:
        stack.close()


@pytest.mark.parametrize("part", [("gateway", "--port", "0"), ("worker", "echo"), ("up", "echo", "--port", "0")])
def test_a_cluster_is_refused_with_the_setting_named(cluster: Stack, tmp_path: Path, part: tuple[str, ...]) -> None:
    url, folder = cluster.settings["redis_url"], str(tmp_path)
    done = inferq(*part, INFERQ_REDIS_URL=url, INFERQ_GATEWAY_PROCESSES="1", XDG_DATA_HOME=folder)
    assert done.returncode != 0
    assert "INFERQ_REDIS_URL names a Redis Cluster" in done.stderr
    assert "Traceback" not in done.stderr
    assert cluster.redis.dbsize() == 0
