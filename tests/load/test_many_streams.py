"""Two thousand streams open on one gateway process, and no token lost. Run by `make load`, not by `make test`."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path

from tests.calls import CHATS, chat
from tests.stack import Stack, running

STREAMS = 2000
WORDS = 20


def test_two_thousand_open_streams_lose_no_token(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with running(tmp_path, max_queue=STREAMS, log_level="warning") as stack:
        stack.start_gateway(processes=1)
        for _ in range(4):
            stack.start_worker(slots=256, echo_rate=4)
        texts, most = asyncio.run(read_all(stack))
    assert most == STREAMS
    assert texts == [expected(index) for index in range(STREAMS)]


def expected(index: int) -> str:
    return " ".join(f"{index}-{word}" for word in range(WORDS))


async def read_all(stack: Stack) -> tuple[list[str], int]:
    """Every stream's text, and how many streams were open at one time."""
    opened = 0
    everybody = asyncio.Event()

    async def read(index: int) -> str:
        nonlocal opened
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        body = json.dumps(chat(expected(index), stream=True)).encode()
        head = f"POST {CHATS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        opened += 1
        if opened == STREAMS:
            everybody.set()
        await everybody.wait()
        text = ""
        while (line := await reader.readline()) != b"data: [DONE]\n":
            assert line, f"stream {index} ended early"
            if line.startswith(b"data: "):
                text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        writer.close()
        return text

    async with asyncio.timeout(240):
        texts = await asyncio.gather(*(read(index) for index in range(STREAMS)))
    return list(texts), opened
