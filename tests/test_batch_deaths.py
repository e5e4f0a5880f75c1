"""Whatever dies while a batch is fed, each of its lines is told once."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from shared import registry
from tests.batches import archive_of, begin, counts, end, request, results
from tests.stack import Stack, wait_for

LINES = 300
SLOW: dict[str, Any] = {"slots": 2, "echo_rate": 20}
"""Half a second a line: they do not end before they have been hurt enough."""


@pytest.fixture
def many(empty: Stack) -> Stack:
    """Two processes of a gateway, and a slow worker."""
    empty.start_gateway(processes=2)
    empty.start_worker(**SLOW)
    return empty


def start(client: OpenAI, number: int = LINES, **more: Any) -> str:
    return begin(client, [request(f"r{n}", f"{n} b c d e f g h i j", **more) for n in range(number)])


def done(client: OpenAI, batch_id: str) -> int:
    """How many lines are completed, as far as anybody can be asked."""
    try:
        return counts(client.batches.retrieve(batch_id))[1]
    except Exception:  # noqa: BLE001  # whoever would tell is being hurt
        return -1


def goes_on(client: OpenAI, batch_id: str, by: int = 2) -> int:
    before = max(0, done(client, batch_id))
    wait_for(lambda: done(client, batch_id) >= before + by, "another line's end", 40)
    return before


def check(client: OpenAI, batch_id: str, number: int = LINES) -> None:
    batch = end(client, batch_id, 90)
    output = results(client, batch.output_file_id)
    assert (batch.status, counts(batch)) == ("completed", (number, number, 0)), batch
    assert output.keys() == {f"r{n}" for n in range(number)}
    for n in range(number):
        body = output[f"r{n}"]["response"]["body"]
        assert body["choices"][0]["message"]["content"] == f"{n} b c d e f g h i j"
    assert batch.usage
    assert batch.usage.output_tokens == 10 * number


def feeder(stack: Stack, batch_id: str) -> str:
    holder: Any = stack.redis.get(f"iq:batch:{batch_id}")
    return holder.decode() if holder else ""


def names(stack: Stack) -> set[str]:
    return {process.name for process in registry.gateways(stack.redis)}


def pid(stack: Stack, name: str) -> int:
    return next(process.pid for process in registry.gateways(stack.redis) if process.name == name)


def test_each_line_is_told_once_whatever_is_killed(many: Stack) -> None:
    client = many.client(max_retries=8)
    batch_id = start(client)
    goes_on(client, batch_id)

    os.kill(pid(many, feeder(many, batch_id)), signal.SIGKILL)  # the other process goes on
    goes_on(client, batch_id)

    many.worker.kill()
    many.start_worker(**SLOW)
    goes_on(client, batch_id)

    many.valkey.kill()
    many.valkey.wait()
    many.start_valkey()
    goes_on(client, batch_id)

    old = names(many)
    many.gateway.kill()
    wait_for(many.port_is_free, "the end of the gateway's processes")
    many.start_gateway(processes=2)
    wait_for(lambda: len(names(many) - old) == 2, "the new processes' cards")
    goes_on(client, batch_id)

    new = names(many) - old
    many.valkey.kill()
    many.valkey.wait()
    shutil.rmtree(many.directory / "appendonlydir")
    many.start_valkey()
    goes_on(client, batch_id)

    [other] = new - {feeder(many, batch_id)}
    many.redis.set(f"iq:batch:{batch_id}", other, ex=5)  # for a moment both feed it
    goes_on(client, batch_id)

    many.worker.kill()
    many.start_worker()  # a fast one
    check(client, batch_id)
    assert not archive_of(many).index.owners(ThingKind.OUTCOMES)


def test_what_is_lost_of_the_ledger_is_answered_again(many: Stack) -> None:
    """As an index in Redis does it that is put back to where a batch has not ended yet: what it names is removed."""
    client, archive = many.client(max_retries=8), archive_of(many)
    batch_id = start(client, 40, max_tokens=10)
    goes_on(client, batch_id)
    many.worker.kill()  # so that it does not end before
    first = archive.find("", ThingKind.OUTCOMES, f"outcomes_{batch_id}_0")
    archive.blobs.remove(first.blob)
    many.start_worker()  # a fast one
    check(client, batch_id, 40)
    assert not archive.index.owners(ThingKind.OUTCOMES)


def test_what_is_stored_is_not_computed_again_where_the_ledger_is_lost(many: Stack) -> None:
    """Else it would be told otherwise than it is stored: at another time, if in nothing else."""
    client, archive = many.client(max_retries=8), archive_of(many)
    lines = [request(f"r{n}", url="/v1/responses", input=f"{n} b c d e f g h i j") for n in range(40)]
    batch_id = begin(client, lines, "/v1/responses")
    goes_on(client, batch_id)
    many.worker.kill()  # so that it does not end before
    archive.blobs.remove(archive.find("", ThingKind.OUTCOMES, f"outcomes_{batch_id}_0").blob)
    many.start_worker()  # a fast one
    output = results(client, end(client, batch_id).output_file_id)
    assert output.keys() == {line["custom_id"] for line in lines}
    for line in output.values():
        body = line["response"]["body"]
        assert many.http().get(f"/v1/responses/{body['id']}").json() == body


def test_a_ledger_whose_blobs_are_away_is_waited_for(empty: Stack) -> None:
    empty.start_gateway(processes=1)
    empty.start_worker(**SLOW)
    client, http, archive = empty.client(max_retries=8), empty.http(), archive_of(empty)
    batch_id = start(client, 40)
    goes_on(client, batch_id)
    empty.worker.kill()
    blobs = Path(str(empty.settings["archive"])) / "blobs"
    blobs.rename(blobs.with_name("away"))
    told = done(client, batch_id)
    client.batches.cancel(batch_id)
    wait_for(
        lambda: 'inferq_archive_errors_total{work="read"} 0.0' not in http.get("/metrics").text, "a look at the ledger"
    )
    blobs.with_name("away").rename(blobs)
    batch = end(client, batch_id)
    assert (batch.status, counts(batch)[1]) == ("cancelled", told)
    assert len(results(client, batch.output_file_id)) == told >= 2
    assert not archive.index.owners(ThingKind.OUTCOMES)


def test_an_answer_is_stored_by_itself_before_its_line_is_told(stack: Stack, client: OpenAI) -> None:
    """Nobody computes it again then, whatever Redis forgets."""
    for _ in range(3):  # else it is within a second
        batch_id = begin(client, [request("r", url="/v1/responses", input="one two")], "/v1/responses")
        stored = stored_when_told(archive_of(stack), batch_id)
        output = results(client, end(client, batch_id).output_file_id)
        assert output["r"]["response"]["body"]["id"] in stored


def stored_when_told(archive: Archive, batch_id: str) -> set[str]:
    """The responses that are stored when a line of the batch is told."""
    wait_for(lambda: archive.find("", ThingKind.BATCH, batch_id).facts.get("completed"), "a line's end")
    return {thing.id for thing in archive.page("", ThingKind.RESPONSE, limit=100).things}


def test_who_stops_lets_go_and_what_is_removed_is_told(many: Stack) -> None:
    client = many.client(max_retries=8)
    lost = start(client)
    goes_on(client, lost)
    many.gateway.terminate()
    wait_for(many.port_is_free, "the end of the gateway's processes")
    many.gateway.wait()
    assert not feeder(many, lost)
    archive = archive_of(many)
    archive.remove("", ThingKind.FILE, str(archive.find("", ThingKind.BATCH, lost).facts["input_file_id"]))
    many.start_gateway(processes=1)
    batch = end(client, lost)
    total, completed, failed = counts(batch)
    assert (batch.status, total, failed) == ("failed", LINES, 0)
    assert batch.errors
    assert [error.code for error in batch.errors.data or ()] == ["file_not_found"]
    assert len(results(client, batch.output_file_id)) == completed >= 2
