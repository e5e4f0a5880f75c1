"""/v1/uploads through the unmodified client, also where the gateway is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5, sha256
from pathlib import Path

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from gateway.archive.thing import ThingKind
from tests.batches import archive_of
from tests.calls import problem
from tests.stack import API_KEYS, KEYS, Stack, children, running, wait_for

MB = 1_000_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("uploads"), api_keys=API_KEYS, max_file_bytes=20 * MB) as stack:
        stack.start_gateway(processes=1)
        yield stack


def digest(blob: bytes) -> str:
    return md5(blob, usedforsecurity=False).hexdigest()


def begin(client: OpenAI, size: int, **more: object) -> str:
    upload = client.uploads.create(
        bytes=size, filename="a.txt", mime_type="text/plain", purpose="user_data", **more  # type: ignore[arg-type]  # the client has types of its own
    )  # fmt: skip
    return upload.id


def add(client: OpenAI, upload_id: str, data: bytes) -> str:
    return client.uploads.parts.create(upload_id, data=data).id


def names(stack: Stack) -> list[str]:
    """Of all that lies in the archive's blobs."""
    return [path.name for path in (Path(stack.settings["archive"]) / "blobs").rglob("*") if path.is_file()]


def test_a_file_in_parts(stack: Stack, alice: OpenAI, tmp_path: Path) -> None:
    blob = os.urandom(3 * MB)
    path = tmp_path / "made of parts.bin"
    path.write_bytes(blob)
    upload = alice.uploads.upload_file_chunked(
        file=path, mime_type="application/pdf", purpose="user_data", part_size=MB, md5=digest(blob)
    )
    assert (upload.status, upload.filename, upload.bytes) == ("completed", path.name, len(blob))
    assert upload.expires_at == upload.created_at + 3600
    assert upload.file is not None
    answer = alice.files.content(upload.file.id)
    assert (answer.content, answer.response.headers["content-type"]) == (blob, "application/pdf")
    assert alice.files.retrieve(upload.file.id) == upload.file
    assert upload.file.expires_at is None
    assert not [name for name in names(stack) if name.startswith("part_")]
    alice.files.delete(upload.file.id)


def test_parts_come_in_any_order_and_an_upload_is_completed_once(alice: OpenAI) -> None:
    upload = begin(alice, 6, expires_after={"anchor": "created_at", "seconds": 7200})
    second, first, unused = add(alice, upload, b"def"), add(alice, upload, b"abc"), add(alice, upload, b"x")
    done = alice.uploads.complete(upload, part_ids=[first, second])
    assert done.file is not None
    assert done.file.expires_at == done.file.created_at + 7200
    assert alice.files.content(done.file.id).content == b"abcdef"
    assert alice.uploads.complete(upload, part_ids=[first, second]) == done
    assert alice.uploads.complete(upload, part_ids=[second, unused]) == done
    for end in (alice.uploads.cancel, lambda id: add(alice, id, b"x")):
        with pytest.raises(openai.BadRequestError, match="The upload is completed"):
            end(upload)
    alice.files.delete(done.file.id)


def test_a_file_that_is_lost_while_its_parts_are_there_is_made_again(stack: Stack, alice: OpenAI) -> None:
    """As where the index is put back to between the two: the upload is completed, and names what there is not."""
    upload = begin(alice, 6)
    parts = [add(alice, upload, data) for data in (b"one", b"two")]
    name = "file-" + sha256("/".join((upload, *parts)).encode()).hexdigest()[:32]
    ended = {"status": "completed", "file": name}
    archive_of(stack).change("alice", ThingKind.UPLOAD, upload, lambda facts: {**facts, **ended})
    for _ in range(2):
        told = alice.uploads.complete(upload, part_ids=parts)
        assert told.file is not None
        assert alice.files.content(told.file.id).read() == b"onetwo"
    alice.files.delete(name)
    assert alice.uploads.complete(upload, part_ids=parts).file is None


def test_a_cancelled_upload_keeps_nothing(stack: Stack, alice: OpenAI) -> None:
    upload = begin(alice, 3)
    part = add(alice, upload, b"abc")
    assert any(part in name for name in names(stack))
    assert alice.uploads.cancel(upload).status == "cancelled"
    assert alice.uploads.cancel(upload).status == "cancelled"
    assert not any(part in name for name in names(stack))
    with pytest.raises(openai.BadRequestError, match="The upload is cancelled"):
        alice.uploads.complete(upload, part_ids=[part])
    with pytest.raises(openai.BadRequestError, match="The upload is cancelled"):
        add(alice, upload, b"abc")


def test_ends_at_the_same_time_are_one_end(stack: Stack, alice: OpenAI, pool: ThreadPoolExecutor) -> None:
    """Whoever is late is told what has happened."""

    def end(upload: str, part_ids: list[str]) -> str:
        try:
            return (
                alice.uploads.complete(upload, part_ids=part_ids) if part_ids else alice.uploads.cancel(upload)
            ).status
        except openai.BadRequestError as exc:
            return exc.message.partition("The upload is ")[2].partition(".")[0]

    met = list[str]()
    for _ in range(12):
        upload = begin(alice, 6)
        parts = [add(alice, upload, b"abc"), add(alice, upload, b"def")]
        ends = [pool.submit(end, upload, each) for each in (parts, parts[::-1], [], parts)]
        [told] = {each.result() for each in ends}
        met.append(told)
    assert set(met) <= {"completed", "cancelled"}
    files = [file.id for file in alice.files.list()]
    assert len(files) == met.count("completed")
    for file_id in files:
        alice.files.delete(file_id)


def test_what_the_parts_must_be(alice: OpenAI, http: httpx.Client) -> None:
    upload, other = begin(alice, 6), begin(alice, 3)
    first, second, foreign = add(alice, upload, b"abc"), add(alice, upload, b"def"), add(alice, other, b"ghi")

    def refused(status: int, part_ids: list[str], **more: str) -> str:
        answer = http.post(f"/v1/uploads/{upload}/complete", json={"part_ids": part_ids, **more})
        return str(problem(answer, status)["param"])

    assert refused(400, []) == "part_ids"
    assert refused(400, [first]) == "part_ids"
    assert refused(400, [first, first]) == "part_ids"
    assert refused(404, [first, "part_0"]) == "part_ids[1]"
    assert refused(404, [first, foreign]) == "part_ids[1]"
    assert refused(400, [first, second], md5="x") == "md5"
    assert refused(400, [first, second], md5=digest(b"defabc")) == "md5"
    assert list(alice.files.list()) == []
    done = alice.uploads.complete(upload, part_ids=[first, second], md5=digest(b"abcdef").upper())
    assert done.file is not None
    alice.files.delete(done.file.id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": 20 * MB + 1}, "bytes"),
        ({"bytes": "3"}, "bytes"),
        ({"filename": ""}, "filename"),
        ({"filename": "a.txt", "purpose": "batch"}, "filename"),
        ({"mime_type": None}, "mime_type"),
        ({"purpose": "x"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
        ({"x": 1}, "x"),
    ],
)
def test_a_bad_upload_names_its_parameter(http: httpx.Client, change: dict[str, object], param: str) -> None:
    usual = {"bytes": 3, "filename": "a.jsonl", "mime_type": "text/plain", "purpose": "user_data"}
    assert problem(http.post("/v1/uploads", json={**usual, **change}), 400)["param"] == param


def test_a_bad_part_is_refused(alice: OpenAI, http: httpx.Client) -> None:
    url = f"/v1/uploads/{begin(alice, 3)}/parts"
    assert problem(http.post(url, files={"data": ("a", b"")}), 400)["param"] == "data"
    assert problem(http.post(url, files={"file": ("a", b"x")}), 400)["param"] == "file"
    assert problem(http.post(url, files={"data": ("a", bytes(20 * MB + 1))}), 413)["param"] == "data"


def test_another_key_has_no_such_upload(alice: OpenAI, bob: OpenAI) -> None:
    mine, theirs = begin(alice, 3), begin(bob, 3)
    part = add(alice, mine, b"abc")
    for ask in (lambda: bob.uploads.complete(mine, part_ids=[part]), lambda: bob.uploads.cancel(mine),
                lambda: add(bob, mine, b"x"), lambda: bob.uploads.complete(theirs, part_ids=[part])):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            ask()


def test_a_gateway_killed_while_a_part_comes_loses_nothing(stack: Stack, alice: OpenAI) -> None:
    upload, sent = begin(alice, 2 * MB), threading.Event()
    first = add(alice, upload, b"a" * MB)

    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name=data; filename="x"\r\n\r\n' + b"b" * MB
        sent.set()
        threading.Event().wait(30)

    def send() -> None:
        headers = {"Authorization": f"Bearer {KEYS['alice']}", "Content-Type": "multipart/form-data; boundary=b"}
        with pytest.raises(httpx.TransportError):
            stack.http().post(f"/v1/uploads/{upload}/parts", content=form(), headers=headers)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    assert sent.wait(20)
    restart(stack, processes(stack))
    second = add(alice, upload, b"b" * MB)
    done = alice.uploads.complete(upload, part_ids=[first, second])
    assert done.file is not None
    assert alice.files.content(done.file.id).content == b"a" * MB + b"b" * MB
    assert [file.id for file in alice.files.list()] == [done.file.id]
    alice.files.delete(done.file.id)


def processes(stack: Stack) -> list[int]:
    """The gateway's."""
    return [stack.gateway.pid, *children(stack.gateway)]


def restart(stack: Stack, doomed: list[int]) -> None:
    """Kill the gateway, all of its processes at once, and start it again."""
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    stack.gateway.wait()
    wait_for(stack.port_is_free, "the end")
    stack.start_gateway(processes=1)


@pytest.mark.parametrize("moment", ["is being written", "was written"])
def test_a_gateway_killed_while_it_completes_can_be_asked_again(
    stack: Stack, alice: OpenAI, pool: ThreadPoolExecutor, moment: str
) -> None:
    blob = os.urandom(19 * MB)
    upload = begin(alice, len(blob))
    parts = [add(alice, upload, blob[at : at + 5 * MB]) for at in range(0, len(blob), 5 * MB)]
    before = set(names(stack))

    def seen() -> bool:
        more = set(names(stack)) - before
        return any(name.startswith("file-") for name in more) if moment == "was written" else bool(more)

    doomed = processes(stack)
    asked = pool.submit(ask, alice, upload, parts)
    while not seen() and not asked.done():
        pass
    restart(stack, doomed)
    told = asked.result()
    done = alice.uploads.complete(upload, part_ids=parts, md5=digest(blob))
    assert done.file is not None
    assert alice.files.content(done.file.id).content == blob
    assert [file.id for file in alice.files.list()] == [done.file.id]
    assert alice.uploads.complete(upload, part_ids=parts) == done
    alice.files.delete(done.file.id)
    assert not told or moment == "was written", "it was killed in the middle"


def ask(client: OpenAI, upload: str, parts: list[str]) -> bool:
    try:
        client.uploads.complete(upload, part_ids=parts)
    except openai.APIConnectionError:
        return False
    return True
