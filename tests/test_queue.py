"""Many at once on few slots: all answered, none crossed, started in the order of their arrival."""

from __future__ import annotations

import asyncio
import math

from tests.calls import post_later, said
from tests.stack import Stack, wait_for

SLOTS, CHATS_AT_ONCE = 4, 200


def test_two_hundred_chats_at_once_each_get_their_own_answer(echo: Stack) -> None:
    async def ask_all() -> list[str | None]:
        async with echo.async_client() as client:

            async def ask(index: int) -> str | None:
                answer = await client.chat.completions.create(model="echo", messages=said(f"marker {index} of mine"))
                return answer.choices[0].message.content

            return await asyncio.gather(*(ask(index) for index in range(CHATS_AT_ONCE)))

    assert asyncio.run(ask_all()) == [f"marker {index} of mine" for index in range(CHATS_AT_ONCE)]


def test_jobs_start_in_the_order_of_their_arrival(served: Stack) -> None:
    worker = served.start_worker(slots=SLOTS)
    worker.terminate()
    worker.wait(20)
    http = served.http()
    jobs = [post_later(http, str(index)) for index in range(CHATS_AT_ONCE)]
    served.start_worker(slots=SLOTS, echo_prefill_ms=20)
    wait_for(lambda: served.state(jobs[-1]) == "completed", "the last job")
    started = [int(served.redis.hget(f"iq:job:{job}", "started") or 0) for job in jobs]
    # Slots claim side by side, so neighbours may change places within a millisecond; nobody is overtaken by more.
    assert all(max(started[: index + 1]) <= min(started[index + SLOTS :]) for index in range(CHATS_AT_ONCE - SLOTS))


def test_a_key_with_many_jobs_makes_nobody_wait_behind_them(empty: Stack) -> None:
    names = [f"k{number}" for number in range(10)]
    empty.settings["api_keys"] = ",".join(f"{name}:{name}" for name in names)
    empty.start_gateway()
    worker = empty.start_worker(slots=SLOTS)
    worker.terminate()
    worker.wait(20)
    http = empty.http()

    def post(name: str) -> str:
        http.headers["Authorization"] = f"Bearer {name}"
        return post_later(http, name)

    crowd = [post(names[0]) for _ in range(500)]
    others = [post(name) for name in names[1:]]
    empty.start_worker(slots=SLOTS, echo_prefill_ms=20)
    wait_for(lambda: {empty.state(job) for job in others} == {"completed"}, "the others' answers", 60)
    started = {job: int(empty.redis.hget(f"iq:job:{job}", "started") or 1 << 60) for job in crowd + others}
    rounds = math.ceil(len(others) / SLOTS) + 1
    for job in others:
        assert sum(before < started[job] for before in started.values()) < rounds * SLOTS
