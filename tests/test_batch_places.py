"""Batches whose archive has its index in Redis, and those whose feeder dies while it makes the files of results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI

from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from gateway.batches.batch import Batch, BatchStatus
from shared.config import Config
from tests.batches import begin, counts, end, request, results
from tests.stack import Stack, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("places"), archive_index="redis") as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack


@pytest.fixture
def client(stack: Stack) -> OpenAI:
    return stack.client()


def test_a_batch_of_an_archive_in_redis(client: OpenAI) -> None:
    batch = end(client, begin(client, [*(request(f"r{n}", f"text {n}") for n in range(50)), request("bad", top_p=7)]))
    assert (batch.status, counts(batch)) == ("completed", (51, 50, 1))
    assert results(client, batch.output_file_id).keys() == {f"r{n}" for n in range(50)}
    assert results(client, batch.error_file_id).keys() == {"bad"}


def test_whoever_dies_between_the_files_and_the_end_makes_no_second_ones(client: OpenAI, stack: Stack) -> None:
    """As its death would leave it: the files are named, the ledger is gone, and the end is not told."""
    batch = end(client, begin(client, [request("a"), request("bad", top_p=7)]))
    config = Config(
        redis_url=stack.settings["redis_url"], archive=str(stack.settings["archive"]), archive_index="redis"
    )
    archive = Archive.open(config)

    def unended(facts: dict[str, Any]) -> dict[str, Any]:
        thing = archive.find("", ThingKind.BATCH, batch.id)
        found = Batch.of(replace(thing, facts=facts))
        return replace(found, status=BatchStatus.FINALIZING, completed_at=0).facts

    archive.change("", ThingKind.BATCH, batch.id, unended)
    again = end(client, batch.id)
    assert (again.status, counts(again)) == ("completed", (2, 1, 1))
    assert (again.output_file_id, again.error_file_id) == (batch.output_file_id, batch.error_file_id)
    assert len(results(client, again.output_file_id)) == len(results(client, again.error_file_id)) == 1
