"""What clients get while what computes dies: inferq, against llama.cpp's servers behind an HTTP round-robin.

    python -m bench.survival [--requests N] [--seed N]

Both sides: SmolLM2 on two processes of two slots and one thread, the same greedy requests, half of them streams, from
four unmodified `openai` clients with their default retries. Every 3 to 6 s one of the two is killed, stopped or frozen
for 6 s at random; what ends is started again at once. The round-robin tries the other server where one refuses the
connection, as web servers do. An answer counts as kept when it is, to its end, the text that the same side gives when
nothing happens.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import httpx2 as httpx
from openai import AsyncOpenAI, OpenAIError

from bench.machine import describe, spread
from inferq import pull
from shared import catalogue
from tests.beside import beside
from tests.chaos.child import Child
from tests.chaos.house import Crew, House, Parts
from tests.chaos.plan import Kind, Request, rhymes
from tests.stack import Process, free_port, stop

MODEL, SLOTS, CLIENTS, TOKENS, LEASE = "smollm2", 2, 4, 80, 2.0
FAULTS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)


@dataclass(frozen=True, slots=True)
class Side:
    """What is asked, and the two processes that compute behind it."""

    name: str
    url: str
    computing: Sequence[Child]
    busy: Callable[[Child], Awaitable[int]]
    """Answers that a process computes at the moment."""


@asynccontextmanager
async def inferq() -> AsyncIterator[Side]:
    """A gateway, a Valkey and two workers."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Parts(
            Path(folder), log_level="error", lease=LEASE, slots=SLOTS, threads=1, context=2048, gateway_processes=1
        )
        house = House(stack, {MODEL: Crew((MODEL,), 2)})

        async def busy(worker: Child) -> int:
            return len(await house.running_on(worker))

        try:
            async with kept(house.children):
                yield Side("inferq", stack.url, house.workers, busy)
        finally:
            await house.redis.aclose()
            await asyncio.to_thread(stack.close)


@asynccontextmanager
async def round_robin() -> AsyncIterator[Side]:
    """Two of llama.cpp's servers, and a proxy that gives each connection to the next of them."""
    path = pull.provide(catalogue.resolve(MODEL)).path
    ports = [free_port(), free_port()]
    started: list[Process] = []

    def spawn(port: int) -> Process:
        command = [sys.executable, "-m", "bench.llama_server", str(path), str(port), str(SLOTS)]
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    async def is_up(port: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(2):
                line = await reader.readline()
            writer.transport.abort()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in line

    servers = [
        Child(f"server {port}", lambda port=port: spawn(port), lambda _, port=port: is_up(port), spawn(port))  # type: ignore[misc]  # mypy does not see the defaults
        for port in ports
    ]
    open_on = dict.fromkeys(ports, 0)
    relays: set[asyncio.Task[None]] = set()
    turn = itertools.cycle(ports)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in ports:
            port = next(turn)
            with suppress(OSError):
                upstream = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            writer.transport.abort()
            return
        open_on[port] += 1
        relays.add(asyncio.current_task())  # type: ignore[arg-type]  # there is one
        try:
            await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))
        finally:
            open_on[port] -= 1

    async def busy(server: Child) -> int:
        return open_on[ports[servers.index(server)]]

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        async with kept(servers):
            port = proxy.sockets[0].getsockname()[1]
            yield Side("round-robin", f"http://127.0.0.1:{port}", servers, busy)
    finally:
        proxy.close()
        for process in started:
            process.kill()
        await asyncio.gather(*relays, return_exceptions=True)
        for process in started:
            await asyncio.to_thread(stop, process)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.transport.abort()


@asynccontextmanager
async def kept(children: Sequence[Child]) -> AsyncIterator[None]:
    """Start again what ends, once everything serves."""
    async with beside(*(child.keep() for child in children)):
        for child in children:
            await child.serves()
        yield


async def hurt(side: Side, random: Random, hits: Counter[str]) -> None:
    """Kill, stop and freeze at random, until cancelled; count the answers that were hit."""
    thawing: set[asyncio.Task[None]] = set()

    async def thaw(child: Child, process: Process) -> None:
        await asyncio.sleep(3 * LEASE)
        process.send_signal(signal.SIGCONT)
        child.up.set()

    while True:
        await asyncio.sleep(random.uniform(3, 6))
        number, pick = random.choice(FAULTS), random.random()
        able = [child for child in side.computing if child.up.is_set()]
        if not able:
            continue
        child = able[int(pick * len(able))]
        hits[number.name] += await side.busy(child)
        child.hurt(number)
        if number is signal.SIGSTOP:
            thawing.add(asyncio.create_task(thaw(child, child.process)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to."""

    text: str
    error: str
    seconds: float


async def ask(client: AsyncOpenAI, request: Request) -> Answer:
    begun, text, error = time.monotonic(), "", ""
    finish: str | None = None
    try:
        if request.kind is Kind.STREAM:
            async for chunk in await client.completions.create(
                model=MODEL, prompt=request.body["prompt"], max_tokens=TOKENS, temperature=0, stream=True
            ):
                text += chunk.choices[0].text
                finish = finish or chunk.choices[0].finish_reason
            error = "" if finish else "the stream ended early"
        else:
            answer = await client.completions.create(
                model=MODEL, prompt=request.body["prompt"], max_tokens=TOKENS, temperature=0
            )
            text = answer.choices[0].text
    except (OpenAIError, httpx.HTTPError) as exc:
        error = type(exc).__name__
    return Answer(text, error, time.monotonic() - begun)


async def ask_all(side: Side, requests: Sequence[Request]) -> list[Answer]:
    """Four at one time. Each has a connection of its own, so that a round-robin has something to choose."""
    limit = asyncio.Semaphore(CLIENTS)
    async with AsyncOpenAI(
        base_url=f"{side.url}/v1", api_key="none", timeout=60, default_headers={"Connection": "close"}
    ) as client:

        async def one(request: Request) -> Answer:
            async with limit:
                return await ask(client, request)

        return await asyncio.gather(*(one(request) for request in requests))


async def measure(opened: AbstractAsyncContextManager[Side], requests: Sequence[Request], seed: int) -> None:
    hits: Counter[str] = Counter()
    async with opened as side:
        calm = await ask_all(side, requests)
        assert not any(answer.error for answer in calm), calm
        mischief = asyncio.create_task(hurt(side, Random(seed), hits))
        answers = await ask_all(side, requests)
        assert not mischief.done(), mischief.exception()
        mischief.cancel()
    print(f"\n{side.name}: " + ", ".join(f"{number} hit {count} answers" for number, count in sorted(hits.items())))
    for kind in (Kind.STREAM, Kind.WHOLE):
        of = [i for i, request in enumerate(requests) if request.kind is kind]
        failed = Counter(answers[i].error for i in of if answers[i].error)
        kept_ = sum(not answers[i].error and answers[i].text == calm[i].text for i in of)
        other = len(of) - kept_ - sum(failed.values())
        why = ", ".join(f"{count} {error}" for error, count in failed.most_common()) or "none"
        took = spread([answers[i].seconds for i in of], " s", 1)
        print(f"  {kind:6} {len(of)} asked, {kept_} kept, {other} with another text, failed: {why}; seconds {took}")
    print(f"  with nothing happening: seconds {spread([answer.seconds for answer in calm], ' s', 1)}")


async def main(count: int, seed: int) -> None:
    print(describe("inferq", "xllamacpp", "openai"))
    print(f"seed {seed}, {count} requests of {TOKENS} tokens")
    kinds = itertools.cycle((Kind.STREAM, Kind.WHOLE))
    requests = [replace(request, kind=next(kinds)) for request in rhymes(Random(seed), count, MODEL)]
    for opened in (inferq(), round_robin()):
        await measure(opened, requests, seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="inferq and a round-robin of servers under faults")
    parser.add_argument("--requests", type=int, default=60, help="on each side [60]")
    parser.add_argument("--seed", type=int, default=1, help="of requests and faults [1]")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.requests, arguments.seed))
