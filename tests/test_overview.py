"""The overview: what goes on, to whom it is told, and what the last hour was like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2 as httpx
import pytest

from gateway.overview import MOST_TOLD
from gateway.watchers import MOST_KEY_WATCHERS
from tests.calls import CHATS, ENDLESS, chat, job, post_later, problem
from tests.stack import KEYS, Stack, running, wait_for

PATH = "/v1/overview"
ADMIN = "sk-root-0123456789abcdef"


def write_keys(stack: Stack, **more: str) -> None:
    """The keys of alice and bob, one of an admin, and others."""
    keys = {**KEYS, "root": f"{ADMIN} admin", **more}
    new = stack.directory / "new"
    new.write_text("".join(f"{name}:{key}\n" for name, key in keys.items()))
    new.rename(stack.directory / "keys")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateway processes, and a worker of two slots, each a hundred tokens a second."""
    directory = tmp_path_factory.mktemp("overview")
    with running(directory, api_keys=f"@{directory / 'keys'}") as stack:
        write_keys(stack)
        stack.start_gateway(processes=2)
        stack.start_worker(slots=2, echo_rate=100)
        yield stack


@pytest.fixture(scope="module")
def everybody(stack: Stack) -> dict[str, httpx.Client]:
    return {name: stack.http(key) for name, key in {**KEYS, "root": ADMIN}.items()}


@pytest.fixture
def endless(everybody: dict[str, httpx.Client]) -> Iterator[list[str]]:
    """The jobs of alice's that take both slots, the first ones' ids, and one of bob's that waits."""
    ids = [post_later(everybody["alice"], ENDLESS) for _ in range(2)]
    wait_for(lambda: all(job(everybody["alice"], each)["status"] == "in_progress" for each in ids), "the start")
    ids.append(post_later(everybody["bob"], "word"))
    yield ids
    for each in ids:
        everybody["root"].delete(f"/v1/jobs/{each}")


def look(http: httpx.Client) -> dict[str, Any]:
    answer = http.get(PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def ended(told: dict[str, Any]) -> int:
    """Requests of the last hour."""
    return sum(sum(series["requests"]) for series in told["history"]["models"].values())


def names(told: dict[str, Any], state: str) -> list[str]:
    return [each["id"] for each in told["jobs"][state]]


def test_what_has_ended_is_counted_for_its_owner_and_for_all(everybody: dict[str, httpx.Client]) -> None:
    before = {name: ended(look(http)) for name, http in everybody.items()}
    for text in ("one two three", "four five"):
        assert everybody["alice"].post(CHATS, json=chat(text)).status_code == 200
    later = post_later(everybody["bob"], "of which nobody hears")
    wait_for(lambda: job(everybody["bob"], later)["status"] == "completed", "its end")
    told = {name: look(http) for name, http in everybody.items()}
    assert {name: ended(each) - before[name] for name, each in told.items()} == {"alice": 2, "bob": 1, "root": 3}
    [model] = told["alice"]["models"]
    minute = model["minute"]
    assert (minute["requests"], minute["failed"], minute["prompt_tokens"]) == (2, 0, 5)
    assert minute["output_tokens"] == 5
    assert 0 < minute["first_token"]["p50"] <= minute["first_token"]["p95"] < 10
    assert minute["queue_wait"]["p95"] < 10
    assert 10 < minute["tokens_per_second"]["p95"] <= minute["tokens_per_second"]["p50"] < 2000
    last = {name: values[-2:] for name, values in told["alice"]["history"]["models"]["echo"].items()}
    assert sum(last["output_tokens"]) == 5
    assert any(last["first_token_p50"])
    assert last["slots"][-1] in (2, None)


def test_a_key_sees_its_own(everybody: dict[str, httpx.Client], endless: list[str]) -> None:
    told = {name: look(http) for name, http in everybody.items()}
    first, second, waits = endless
    assert sorted(names(told["alice"], "running")) == sorted([first, second])
    assert (names(told["alice"], "queued"), names(told["bob"], "running"), names(told["bob"], "queued")) == (
        [],
        [],
        [waits],
    )
    assert sorted(names(told["root"], "running")) == sorted([first, second])
    [queued] = told["root"]["jobs"]["queued"]
    assert (queued["owner"], queued["state"], queued["position"], queued["started"]) == ("bob", "queued", 1, None)
    [runs, _] = told["root"]["jobs"]["running"]
    assert (runs["owner"], runs["state"], runs["position"], runs["tier"]) == ("alice", "running", None, "default")
    assert runs["started"] >= runs["created"]
    for each in told.values():  # which positions and waits tell anyway
        [model] = each["models"]
        assert (model["slots"], model["busy"], model["workers"]) == (2, 2, 1)
        assert model["queued"] == {"priority": 0, "default": 1, "flex": 0}
    for name in KEYS:
        assert (told[name]["admin"], told[name]["workers"], told[name]["gateways"]) == (False, [], [])


def test_an_admin_sees_the_machines(everybody: dict[str, httpx.Client], endless: list[str]) -> None:
    told = wait_for(lambda: (found := look(everybody["root"]))["workers"][0]["load"] is not None and found, "a load")
    [worker] = told["workers"]
    assert (worker["model"], worker["state"], worker["engine"], worker["busy"]) == ("echo", "ready", "echo", 2)
    assert (worker["slots"], worker["threads"]) == (2, 1)
    assert 20_000_000 < worker["memory_bytes"] < 500_000_000
    assert 0 <= worker["load"] < 3
    assert worker["name"] in {each["worker"] for each in told["jobs"]["running"]}
    assert [process["ready"] for process in told["gateways"]] == [True, True]


def test_an_admin_may_cancel_and_is_told_no_answer(everybody: dict[str, httpx.Client], endless: list[str]) -> None:
    assert everybody["bob"].get(f"/v1/jobs/{endless[0]}").status_code == 404
    assert everybody["bob"].delete(f"/v1/jobs/{endless[0]}").status_code == 404
    assert everybody["root"].get(f"/v1/jobs/{endless[0]}/events").status_code == 404
    assert everybody["root"].delete(f"/v1/jobs/{endless[0]}").json()["status"] == "cancelled"
    wait_for(lambda: job(everybody["bob"], endless[2])["status"] == "completed", "the end of what waited")
    assert job(everybody["root"], endless[2])["result"] is None
    assert job(everybody["bob"], endless[2])["result"] is not None


def test_a_failure_is_told_to_its_owner_and_to_admins(everybody: dict[str, httpx.Client], endless: list[str]) -> None:
    answer = everybody["alice"].post(CHATS, json=chat("late"), headers={"x-request-timeout": "0.5"})
    problem(answer, 504)
    told = {name: look(http)["failures"] for name, http in everybody.items()}
    assert told["bob"] == []
    assert told["alice"] == [each for each in told["root"] if each["owner"] == "alice"]
    assert {name: told["alice"][0][name] for name in ("owner", "model", "code")} == {
        "owner": "alice",
        "model": "echo",
        "code": "deadline_exceeded",
    }
    assert look(everybody["alice"])["models"][0]["minute"]["failed"] >= 1


def test_failures_without_an_owner_are_an_admins(stack: Stack, everybody: dict[str, httpx.Client]) -> None:
    """As releases before write them."""
    stack.redis.xadd("iq:failures", {"job": "j", "model": "echo", "worker": "", "code": "c", "message": "why"})
    told = {name: [each["job"] for each in look(http)["failures"]] for name, http in everybody.items()}
    assert "j" in told["root"]
    assert "j" not in told["alice"] + told["bob"]
    assert next(each for each in look(everybody["root"])["failures"] if each["job"] == "j")["owner"] is None


def test_many_jobs_are_told_in_part(everybody: dict[str, httpx.Client], endless: list[str]) -> None:
    for _ in range(MOST_TOLD + 10):
        endless.append(post_later(everybody["alice"], "word"))
    for name, more in {"alice": 10, "root": 11, "bob": 0}.items():
        told = look(everybody[name])["jobs"]
        assert (len(told["queued"]), told["more_queued"]) == (1 if name == "bob" else MOST_TOLD, more)
    for name, count in {"alice": 62, "bob": 1, "root": 63}.items():
        assert len(set(listed(everybody[name], 25))) == count
    assert listed(everybody["alice"], 7) == listed(everybody["alice"], 100)
    answer = everybody["bob"].get("/v1/jobs", params={"after": endless[0]})
    assert problem(answer, 404)["param"] == "after"
    assert problem(everybody["bob"].get("/v1/jobs", params={"order": "desc"}), 400)["param"] == "order"


def listed(http: httpx.Client, limit: int) -> list[str]:
    """The ids of all jobs that run or wait, read in pages."""
    found, after = [], ""
    while True:
        page = http.get("/v1/jobs", params={"limit": limit, "after": after}).json()
        found += [each["id"] for each in page["data"]]
        assert len(page["data"]) <= limit
        if not page["has_more"]:
            return found
        after = page["last_id"]


def test_all_processes_tell_the_same(stack: Stack, endless: list[str]) -> None:
    def told() -> str:
        with httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {ADMIN}"}) as http:  # anew
            found = look(http)
        steady = {name: found[name] for name in ("models", "failures", "version")}
        return json.dumps([steady, sorted(names(found, "running")), names(found, "queued"), ended(found)])

    def settled() -> bool:
        return len({told() for _ in range(6)}) == 1

    wait_for(settled, "the same from all")


def test_what_another_version_counts_is_passed_over(stack: Stack, everybody: dict[str, httpx.Client]) -> None:
    everybody["alice"].post(CHATS, json=chat("x"))
    [key, *_] = stack.redis.keys("iq:history:60:*:alice")
    stack.redis.hset(key, mapping={"newer": "made up", "first.odd:echo": "3", "mood:echo": "good"})
    assert look(everybody["alice"])["models"][0]["id"] == "echo"


def test_watching(stack: Stack, everybody: dict[str, httpx.Client], endless: list[str]) -> None:
    with everybody["bob"].stream("GET", f"{PATH}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer)
        name, first = next(found)
        assert (name, names(first, "queued")) == ("overview", [endless[2]])
        assert len(first["history"]["models"]["echo"]["requests"]) == 60
        everybody["root"].delete(f"/v1/jobs/{endless[2]}")
        name, then = next((name, told) for name, told in found if not names(told, "queued"))
        tail = then["history_tail"]
        assert (name, "history" in then, tail["step"]) == ("overview", False, 60)
        assert len(tail["models"]["echo"]["requests"]) == 2
        assert tail["from"] % 60 == 0


def test_whose_key_has_gone_watches_no_longer(stack: Stack) -> None:
    key = "sk-carol-0123456789abcdef"
    write_keys(stack, carol=f"{key} admin")
    carol = stack.http(key)
    wait_for(lambda: carol.get(PATH).status_code == 200, "her key")
    with carol.stream("GET", f"{PATH}/events") as answer:
        found = events(answer)
        assert next(found)[1]["admin"]
        write_keys(stack, carol=key)
        assert all(told["admin"] for _, told in found)  # to its end
    wait_for(lambda: carol.get(PATH).json()["admin"] is False, "her key to be another")


def test_watchers_are_bounded_and_leave_nothing(stack: Stack, everybody: dict[str, httpx.Client]) -> None:
    def greenlets() -> float:
        text = everybody["root"].get("/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("inferq_gateway_greenlets"))

    before = greenlets()
    with ExitStack() as open_ones:
        codes = []
        for _ in range(2 * MOST_KEY_WATCHERS + 1):
            answer = open_ones.enter_context(everybody["bob"].stream("GET", f"{PATH}/events"))
            codes.append(answer.status_code)
        assert set(codes) == {200, 429}
        refused = everybody["bob"].get(f"{PATH}/events") if codes.count(200) == 2 * MOST_KEY_WATCHERS else None
        assert refused is None or problem(refused, 429)["code"] == "too_many_followers"
        assert everybody["alice"].get(PATH).status_code == 200
    wait_for(lambda: greenlets() <= before + 2, "the end of all connections")
    with everybody["bob"].stream("GET", f"{PATH}/events") as answer:
        assert answer.status_code == 200


def test_it_goes_on_after_redis_and_gateways_were_away(empty: Stack) -> None:
    empty.start_gateway()
    empty.start_worker()
    assert empty.http().post(CHATS, json=chat("one two")).status_code == 200
    with empty.http().stream("GET", f"{PATH}/events") as answer:
        found = events(answer)
        _, first = next(found)
        assert (first["admin"], ended(first)) == (True, 1)
        empty.valkey.kill()
        empty.valkey.wait()
        lost = next(told for name, told in found if name == "trouble")
        assert lost["error"]["code"] == "store_unavailable"
        assert problem(empty.http().get(PATH), 503)["code"] == "store_unavailable"
        empty.start_valkey()
        assert next(told for name, told in found if name == "overview")["models"][0]["id"] == "echo"
    empty.gateway.kill()
    empty.gateway.wait()
    wait_for(empty.port_is_free, "the end of the gateway")
    empty.start_gateway()
    told = wait_for(lambda: (found := look(empty.http()))["models"] and found, "the models")
    assert ended(told) == 1
