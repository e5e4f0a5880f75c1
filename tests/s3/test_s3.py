"""What is stored, in a real server of S3: whole, in ranges, by many at once, and through its absence."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.archive.archive import Archive
from gateway.archive.housekeeping import Housekeeping
from gateway.archive.thing import ThingKind
from shared.config import Config
from shared.errors import ArchiveUnavailable, NotStored
from shared.loops import Loops
from tests.archives import answer, problems, stored
from tests.s3.server import BUCKET, serving
from tests.stack import running, wait_for


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[bytes]]:
    with serving() as child:
        yield child


def opened(folder: Path, prefix: str) -> Archive:
    return Archive.open(Config(archive=f"s3://{BUCKET}/{prefix}", archive_index=str(folder / "index.db")))


def test_things_are_kept_read_and_removed(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    archive = opened(tmp_path, "kept")
    content = bytes(number % 251 for number in range(100_000)) * 120
    large = archive.keep(answer(1), [content])
    assert large
    assert b"".join(archive.read(large)) == content
    assert b"".join(archive.read(large, 4_190_000, 8_400_000)) == content[4_190_000:8_400_000]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: archive.blobs.write(f"file/00/{number}", [bytes(10_000)]), range(60)))
    assert len(stored(archive)) == 61
    assert archive.blobs.size("file/00/7") == 10_000
    assert archive.blobs.size("file/00/none") is None
    assert list(archive.blobs.read("file/00/7", 20_000, 30_000)) == []
    Housekeeping(archive, Loops(), lambda: 4e9).sweep()  # long after
    assert stored(archive) == {large.blob, "index/00/identity"}
    assert problems(archive) == []
    archive.remove("o", ThingKind.RESPONSE, large.id)
    with pytest.raises(NotStored):
        archive.read(large)


def test_a_bucket_that_is_not_there_is_told(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    archive = Archive.open(Config(archive="s3://nosuch-bucket/x", archive_index=str(tmp_path / "index.db")))
    with pytest.raises(ArchiveUnavailable):
        archive.keep(answer(1), [b"x"])
    assert archive.index.held(None).things == 0


def test_chats_are_stored_through_a_gateway_also_while_the_store_was_away(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    places: dict[str, Any] = {"archive": f"s3://{BUCKET}/chats", "archive_index": tmp_path / "index.db"}
    with running(tmp_path, **places) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker()
        client = stack.client()

        def ask(text: str) -> str:
            messages: Any = [{"role": "user", "content": text}]
            return client.chat.completions.create(model="echo", messages=messages, store=True).id

        texts = [f"number {number}" for number in range(20)]
        asked = {ask(text): text for text in texts}
        server.send_signal(signal.SIGSTOP)
        try:
            asked |= {ask(text): text for text in ("away one", "away two", "away three")}
            assert stack.redis.zcard("iq:unarchived") >= 3
        finally:
            server.send_signal(signal.SIGCONT)
        wait_for(lambda: not stack.redis.zcard("iq:unarchived"), "the end of what waits to be stored", 60)
        for name, text in asked.items():
            assert client.chat.completions.retrieve(name).choices[0].message.content == text
        archive = opened(tmp_path, "chats")
        assert archive.index.held(None, ThingKind.CHAT).things == 23
        assert problems(archive) == []
