"""/v1/files through the unmodified client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import openai
import pytest
from flask import Flask
from openai import OpenAI
from openai.types import FileObject
from werkzeug.datastructures import Headers

from gateway import files, uploads
from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.creations import Creation
from shared.config import Config
from shared.errors import InvalidRequest, NotStored
from tests.calls import problem
from tests.stack import API_KEYS, KEYS, Stack, running

LINES = b'{"custom_id": "1"}\n{"custom_id": "2"}\n'
MOST = 300_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"api_keys": API_KEYS, "max_file_bytes": MOST, "archive_key_bytes": 1_000_000}
    with running(tmp_path_factory.mktemp("files"), **settings) as stack:
        stack.start_gateway(processes=2)
        yield stack


def test_a_file_comes_back_as_it_was(alice: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "日本 lines.jsonl"
    path.write_bytes(LINES)
    file = alice.files.create(file=path, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(LINES), path.name, "batch", "processed")
    assert file.id.startswith("file-")
    assert file.expires_at == file.created_at + 3600
    assert alice.files.retrieve(file.id) == file
    assert alice.files.content(file.id).read() == LINES
    with alice.files.with_streaming_response.content(file.id) as answer:
        assert answer.headers["content-length"] == str(len(LINES))
        assert b"".join(answer.iter_bytes(7)) == LINES
    assert alice.files.delete(file.id).model_dump() == {"id": file.id, "object": "file", "deleted": True}
    for again in (alice.files.retrieve, alice.files.delete, alice.files.content):
        with pytest.raises(openai.NotFoundError):
            again(file.id)


def test_by_the_asynchronous_client_at_once(stack: Stack) -> None:
    async def ask() -> list[bytes]:
        async with stack.async_client().with_options(api_key=KEYS["alice"]) as client:

            async def one(number: int) -> bytes:
                file = await client.files.create(file=(f"{number}.txt", b"%d" % number * 1000), purpose="user_data")
                read = await client.files.content(file.id)
                await client.files.delete(file.id)
                return read.content

            return await asyncio.gather(*map(one, range(8)))

    assert asyncio.run(ask()) == [b"%d" % number * 1000 for number in range(8)]


def test_lists_go_on_after_their_page_and_are_of_a_purpose(bob: OpenAI) -> None:
    made = [bob.files.create(file=(f"{n}.txt", b"x"), purpose=("vision", "user_data")[n % 2]).id for n in range(105)]

    def ids(**how: object) -> list[str]:
        return [file.id for file in bob.files.list(**how)]  # type: ignore[arg-type]  # the client's types want dicts of their own

    assert ids(order="asc", limit=50) == ids(order="asc") == made
    assert ids() == made[::-1]
    assert ids(purpose="vision", limit=20) == made[::2][::-1]
    page = bob.files.list(limit=3, after=made[4])
    assert ([file.id for file in page.data], page.has_more) == (made[3:0:-1], True)
    for file in bob.files.list(limit=20):  # and each page goes on after one that went
        bob.files.delete(file.id)
    assert ids() == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("purpose=x", "purpose")],
)
def test_a_bad_list_names_its_parameter(http: httpx.Client, query: str, param: str) -> None:
    assert problem(http.get(f"/v1/files?{query}"), 400)["param"] == param


@pytest.fixture(scope="module")
def page(alice: OpenAI) -> FileObject:
    return alice.files.create(file=('ü".html', b"<script>alert(1)</script>", "text/html"), purpose="assistants")


def test_another_key_has_no_such_file(bob: OpenAI, page: FileObject) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        bob.files.list(after=page.id)
    assert caught.value.param == "after"
    for ask in (bob.files.retrieve, bob.files.content, bob.files.delete, lambda id: bob.files.list(after=id)):
        with pytest.raises(openai.NotFoundError) as theirs:
            ask(page.id)
        with pytest.raises(openai.NotFoundError) as nobodys:
            ask("file-0")
        assert str(theirs.value) == str(nobodys.value).replace("file-0", page.id)
    assert page.id not in {file.id for file in bob.files.list()}


def test_a_browser_makes_no_page_of_a_file(http: httpx.Client, page: FileObject) -> None:
    answer = http.get(f"/v1/files/{page.id}/content")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''%C3%BC%22.html" in answer.headers["content-disposition"]


def test_a_part_of_a_file(http: httpx.Client, page: FileObject) -> None:
    url = f"/v1/files/{page.id}/content"
    whole = http.get(url)
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    part = http.get(url, headers={"Range": "bytes=1-6"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"script", "bytes 1-6/25")
    tail = http.get(url, headers={"Range": "bytes=-9", "If-Range": whole.headers["etag"]})
    assert (tail.status_code, tail.content) == (206, b"</script>")
    for headers in ({"Range": "bytes=1-6", "If-Range": '"x"'}, {"Range": "bytes=0-1,3-4"}):
        assert http.get(url, headers=headers).content == whole.content
    beyond = http.get(url, headers={"Range": "bytes=25-"})
    assert (problem(beyond, 416)["param"], beyond.headers["content-range"]) == (None, "bytes */25")
    assert http.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "25", b"")


def test_the_name_of_a_file_is_no_path(http: httpx.Client) -> None:
    given = {"file": ("../../\u202e/x\\evil.txt", b"x")}
    file = http.post("/v1/files", files=given, data={"purpose": "user_data"}).json()
    assert file["filename"] == "evil.txt"


TEXT = ("a.txt", b"x")


@pytest.mark.parametrize(
    ("parts", "data", "status", "param"),
    [
        ([("file", TEXT)], {}, 400, "purpose"),
        ([("file", TEXT)], {"purpose": "x"}, 400, "purpose"),
        ([("file", TEXT)], {"purpose": "batch"}, 400, "file"),
        ([("file", TEXT)], {"purpose": "user_data", "x": "1"}, 400, "x"),
        ([("file", TEXT)], {"purpose": ["user_data", "user_data"]}, 400, "purpose"),
        ([("file", TEXT)], {"purpose": "x" * 2000}, 400, "purpose"),
        ([("file", TEXT)], {"purpose": "vision", "expires_after[anchor]": "created_at"}, 400, "expires_after.seconds"),
        *(
            (
                [("file", TEXT)],
                {"purpose": "user_data", "expires_after[anchor]": "created_at", "expires_after[seconds]": seconds},
                400,
                "expires_after.seconds",
            )
            for seconds in ("3599", "2592001", "x", "-1", "9" * 500)
        ),
        ([("file", TEXT), ("purpose", ("p", b"user_data"))], {}, 400, "purpose"),
        ([("file", TEXT), ("file", TEXT)], {"purpose": "user_data"}, 400, "file"),
        ([("file", ("a.txt", b""))], {"purpose": "user_data"}, 400, "file"),
        ([("file", ("x" * 600, b"x"))], {"purpose": "user_data"}, 400, "file"),
        ([("data", TEXT)], {"purpose": "user_data"}, 400, "data"),
        ([("file", ("a.txt", b"x" * (MOST + 1)))], {"purpose": "user_data"}, 413, "file"),
        ([("file", ("a.txt", b"x" * (MOST + 200_000)))], {"purpose": "user_data"}, 413, "file"),
    ],
)  # fmt: skip
def test_a_bad_form_names_its_part(
    http: httpx.Client, parts: list[tuple[str, tuple[str, bytes]]], data: dict[str, str], status: int, param: str
) -> None:
    assert problem(http.post("/v1/files", files=parts, data=data), status)["param"] == param


def test_what_is_no_form_is_refused(http: httpx.Client) -> None:
    assert "multipart/form-data" in problem(http.post("/v1/files", json={}), 400)["message"]
    form = {"Content-Type": "multipart/form-data; boundary=a"}
    assert "purpose" not in problem(http.post("/v1/files", content=b"x", headers=form), 400)["message"]
    packed = http.post("/v1/files", content=b"x", headers={**form, "Content-Encoding": "gzip"})
    problem(packed, 415)
    missing = http.post("/v1/files", content=b"--a--", headers=form)
    assert problem(missing, 400)["param"] == "file"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """That of a gateway process which is this one."""
    app, config = Flask("inferq"), Config(archive=str(tmp_path))
    archive = Archive.open(config)
    app.extensions["inferq"] = SimpleNamespace(config=config, archive=archive)
    with app.app_context():
        yield archive


def keep(archive: Archive, *pieces: bytes) -> None:
    draft = Thing("file-1", ThingKind.FILE, "alice", 1)
    assert archive.keep(draft, pieces, finish=lambda thing: files.described(thing, 0, "a", "user_data", "text/plain"))


def test_the_lines_of_a_file(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_LINE", 4)
    keep(archive, b"one\r", b"\n\ntw", b"o\nfour\nend")
    assert list(files.lines("alice", "file-1")) == [b"one", b"", b"two", b"four", b"end"]
    archive.remove("alice", ThingKind.FILE, "file-1")
    keep(archive, b"o", b"n", b"e\n", b"\r\n", b"\n")
    assert list(files.lines("alice", "file-1")) == [b"one", b"", b""]
    archive.remove("alice", ThingKind.FILE, "file-1")
    keep(archive, b"one\ntoo l", b"ong")
    with pytest.raises(InvalidRequest, match="more than 4 bytes"):
        list(files.lines("alice", "file-1"))


def test_an_upload_goes_after_its_hour_with_its_parts(archive: Archive) -> None:
    asked = {"bytes": 3, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}
    upload = uploads.create(asked, Creation("alice", "", Headers()))
    assert upload.expires == upload.created + uploads.LONGEST_UPLOAD
    part = Thing("part_1", ThingKind.PART, "alice", upload.created, upload.expires, parent=upload.id)
    assert archive.keep(part, [b"abc"])
    assert archive.expire(upload.expires - 1, 9) == 0
    assert archive.expire(upload.expires, 9) == 2
    assert not [name for name, _, _ in archive.blobs.walk() if "part_1" in name]
    with pytest.raises(NotStored):
        uploads.complete("alice", upload.id, {"part_ids": ["part_1"]})


def test_a_response_reads_a_file(echo: Stack) -> None:
    client = echo.client()
    file = client.files.create(file=("notes.md", "\ufeffgrüße".encode()), purpose="user_data")
    asked = [{"type": "input_file", "file_id": file.id}]
    answer = client.responses.create(model="echo", input=[{"role": "user", "content": asked}])  # type: ignore[list-item,misc]  # the client's types want dicts of their own
    assert "grüße" in answer.output_text
    binary = client.files.create(file=("notes.md", b"gr\xfc\xdfe"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="text"):
        client.responses.create(model="echo", input=[{"role": "user", "content": [{**asked[0], "file_id": binary.id}]}])  # type: ignore[list-item,misc]  # the client's types want dicts of their own
    for each in (file, binary):
        client.files.delete(each.id)


def test_a_key_has_a_quota_and_another_has_his_own(stack: Stack, alice: OpenAI, bob: OpenAI) -> None:
    made = [bob.files.create(file=("a.bin", b"x" * 290_000), purpose="user_data").id for _ in range(3)]
    with pytest.raises(openai.PermissionDeniedError) as refused:
        bob.files.create(file=("a.bin", b"x" * 290_000), purpose="user_data")
    assert refused.value.code == "archive_full"
    form = b'--a\r\nContent-Disposition: form-data; name=file; filename="a"\r\n\r\n'
    chunks = (form, *[b"x" * 50_000] * 5, b"\r\n--a--")  # whose size is not told
    answer = stack.http().post(
        "/v1/files",
        content=iter(chunks),
        headers={"Content-Type": "multipart/form-data; boundary=a", "Authorization": f"Bearer {KEYS['bob']}"},
    )
    assert problem(answer, 403)["code"] == "archive_full"
    other = alice.files.create(file=("a.bin", b"x" * 290_000), purpose="user_data")
    bob.files.delete(made[0])
    made[0] = bob.files.create(file=("a.bin", b"x" * 280_000), purpose="user_data").id
    for file_id in made:
        bob.files.delete(file_id)
    alice.files.delete(other.id)
