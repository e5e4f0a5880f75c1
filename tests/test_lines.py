"""The lines of a stream, as readers of several kinds split them: what is text, and what is said meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from threading import Timer

import gevent
import httpx2 as httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai import OpenAI

from gateway import sse
from gateway.estimate import Turn
from gateway.mailbox import Mailbox
from gateway.schemas import FORMATS, PAUSE
from gateway.schemas.openai import encode
from gateway.shortcut import Shortcut
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    Failed,
    Options,
    Progress,
    Sampling,
    Task,
    Usage,
)
from tests.calls import CHATS, PROGRESS, busy, chat, completion, data, said, spoken, submit
from tests.readers import READERS
from tests.stack import Stack, running, wait_for

BREAKS = "".join(map(chr, (*range(0x20), 0x7F, 0x85, 0x2028, 0x2029, 0xFEFF)))
END = Done(Usage(1, 1))
texts = st.lists(st.text(max_size=4) | st.sampled_from(BREAKS) | st.just("word "), min_size=1, max_size=12).map("".join)


def split_at_blank_lines(body: str) -> Iterator[str]:
    """As vLLM's benchmark client reads: what begins with a colon is skipped as a whole."""
    for block in body.strip().split("\n\n"):
        if not block.startswith(":"):
            yield block


def names(text: str) -> Accepted:
    """A job with a name that holds this text; it could come from a `models.toml`."""
    return Accepted(Chat(text, (), Sampling(1)), 1)


def test_any_text_survives_whatever_splits_the_lines(http: httpx.Client, client: OpenAI) -> None:
    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(text=texts)
    @example(text=BREAKS)
    @example(text="a\u2028b\u2029c\x85d")
    def echoed(text: str) -> None:
        body = chat(text, stream=True)
        with http.stream("POST", CHATS, json=body) as answer:
            assert spoken(data(answer.iter_lines())) == text
        whole = http.post(CHATS, json=body).content.decode()
        assert spoken(data(whole.splitlines())) == text
        assert spoken(data(split_at_blank_lines(whole))) == text
        chunks = client.chat.completions.create(model="echo", messages=said(text), stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text

    echoed()


def test_of_jobs_and_completions_too(stack: Stack, http: httpx.Client) -> None:
    path, body = "/v1/completions", completion(BREAKS)
    assert spoken(data(http.post(path, json={**body, "stream": True}).text.splitlines())) == BREAKS
    job_id = submit(http, path, body)
    wait_for(lambda: stack.state(job_id) == "completed", "the job")
    lines = http.get(f"/v1/jobs/{job_id}/events").text.splitlines()
    assert spoken(data(line for line in lines if not line.startswith("id: "))) == BREAKS
    for blob in (http.get(f"/v1/jobs/{job_id}").text, http.post(path, json=body).text):
        assert len(blob.splitlines()) == 1
        assert json.dumps(BREAKS, ensure_ascii=False)[1:9] in blob


@pytest.mark.parametrize("text", [BREAKS, "\u2028", "plain", "é\x85", "\U0001f600\u2029"])
def test_nothing_that_is_sent_breaks_a_line(text: str) -> None:
    assert json.loads(encode({text: [text]})) == {text: [text]}
    tasks: dict[str, Task] = {
        "openai.chat": Chat(text, (), Sampling(1)),
        "openai.completion": Completion(text, ("",), Sampling(1)),
    }
    for name, task in tasks.items():
        for include_usage in (False, True):
            frames = FORMATS[name].render_frames(text, Accepted(task, 1), Options(True, include_usage))
            pieces = Delta(text), Delta(text, (1,), finish_reason="stop"), END, Failed("engine_error", text, text)
            blobs = [frame.data.decode() for event in pieces for frame in frames(event)]
            assert len(blobs) >= 4
            assert all(len(blob.splitlines()) == 1 for blob in blobs)


# --- comments


class Silence:
    """A stream whose events come when the test says so: none, and then these."""

    def __init__(self, events: tuple[Event, ...], queued: tuple[int, ...] = ()) -> None:
        self.box = Mailbox("job")
        self._places = iter(queued)
        self.asked = 0
        self._events = events

    def turn(self) -> Turn | None:
        self.asked += 1
        place = next(self._places, 0)
        if not place and self._events:
            self.box.put(1, "x", self._events)
            self._events = ()
        return Turn(place, None) if place else None

    def pieces(self, end: bytes, *, progress: bool, wire: str = "openai.chat") -> list[bytes]:
        frames = FORMATS[wire].render_frames("job", names("m"), Options(True))
        return list(sse.body(self.box, (), sse.plain_lines(frames), self.turn, end, progress=progress))

    def read(self, end: bytes, *, progress: bool) -> bytes:
        return b"".join(self.pieces(end, progress=progress))


def comments(body: bytes) -> list[str]:
    return [line for line in body.decode().splitlines() if line.startswith(":")]


ANSWER = (Progress(0, 6), Progress(6, 6), Delta("hello", (1,), finish_reason="stop"), END)


def test_a_stream_is_silent_for_a_while_and_then_gives_a_sign_that_every_reader_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "QUIET", 0.05)
    silence = Silence(ANSWER)
    Timer(0.2, silence.turn).start()
    pieces = [piece for piece in silence.pieces(sse.BLANK, progress=False) if piece]
    assert len(pieces) > 2, "it was silent more than once"
    for reader in READERS:
        *chunks, end = reader(pieces)
        assert end == "[DONE]"
        assert spoken(chunks) == "hello"
        assert chunks[0]["choices"] == [{"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": None}]
        assert sum("role" in chunk["choices"][0]["delta"] for chunk in chunks) == 1


class Ear(Shortcut):
    """Hears what a shortcut would send."""

    def __init__(self) -> None:
        self.heard = list[bytes]()

    def send(self, piece: bytes) -> bool:
        self.heard.append(piece)
        return True

    def finish(self) -> None:
        """Nothing is ever left."""


@pytest.mark.parametrize("text", ["", "hm"])
def test_pieces_of_which_nothing_is_told_are_no_sign_of_life(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "QUIET", 0.3)
    box, ear = Mailbox("job", parts=True), Ear()

    def lines(event: Event) -> list[bytes]:
        return [b"sign"] if event is PAUSE else [event.text.encode()] if isinstance(event, Delta) else []

    def think() -> None:
        for number in range(1, 101):
            box.put(number, "x", [Delta(text, (1,), offset=len(text) * (number - 1))])
            gevent.sleep(0.01)
        box.put(101, "x", [END])

    thinker = gevent.spawn(think)
    body = b"".join(sse.body(box, (), lines, lambda: None, sse.BLANK, progress=False, shortcut=ear))
    thinker.join()
    assert len(ear.heard) > 90, "the shortcut was taken"
    assert (b"sign" in body) == (not text)


def test_who_is_told_pieces_is_no_more_asked_after_than_who_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LOOK", 0.1)
    box, ear, looks = Mailbox("job", parts=True), Ear(), list[None]()

    def say() -> None:
        for number in range(1, 101):
            box.put(number, "x", [Delta("a", (1,), offset=number - 1)])
            gevent.sleep(0.01)
        box.put(101, "x", [END])

    speaker = gevent.spawn(say)
    lines = sse.plain_lines(FORMATS["openai.chat"].render_frames("job", names("m"), Options(True)))
    list(sse.body(box, (), lines, lambda: looks.append(None), sse.BLANK, progress=True, shortcut=ear))
    speaker.join()
    assert len(ear.heard) > 90, "the shortcut was taken"
    assert len(looks) < 5, "one before anything has come, and hardly any after it"


def test_a_stream_with_ids_says_how_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "QUIET", 0.05)
    silence = Silence(ANSWER, queued=(3, 3, 2))
    body = silence.read(sse.SINGLE, progress=False)
    assert comments(body) == [": queued position=3", ": queued position=3", ": queued position=2", ": waiting"]
    assert body.startswith(b": queued position=3\n: queued")
    assert silence.asked == 4, "it looks where it has something to say only"


def test_who_asks_for_progress_is_told_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LOOK", 0.01)
    body = Silence(ANSWER, queued=(3, 3, 2, 2)).read(sse.BLANK, progress=True)
    assert comments(body) == [": queued position=3", ": queued position=2", ": prompt 0/6", ": prompt 6/6"]
    assert spoken(data(split_at_blank_lines(body.decode()))) == "hello"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("slow"), headers_after=0.1) as stack:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_rate=100)
        yield stack


def waited(stack: Stack, **headers: str) -> str:
    """The body of a stream that had to wait."""
    http = stack.http()
    with busy(stack):
        request = http.build_request("POST", CHATS, json=chat("one two", stream=True), headers=headers)
        answer = http.send(request, stream=True)
        assert answer.status_code == 200, "the headers come without a comment"
    return answer.read().decode()


def test_no_comment_comes_that_nobody_asked_for(slow: Stack) -> None:
    for headers in ({}, {"x-inferq-progress": "0"}):
        body = waited(slow, **headers)
        assert all(line.startswith("data: ") or not line for line in body.splitlines()), body
    body = waited(slow, **PROGRESS)
    assert re.match(r": queued position=1( wait=\d+s)?\n\n", body)
    assert spoken(data(split_at_blank_lines(body))) == "one two"
    answer = slow.http().post(CHATS, json=chat("x", stream=True), headers={"x-inferq-progress": "yes"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-inferq-progress")


def test_followers_get_comments_of_one_line(slow: Stack) -> None:
    with busy(slow):
        job_id = submit(slow.http(), CHATS, chat("one two"))
        request = slow.http().build_request("GET", f"/v1/jobs/{job_id}/events", headers=PROGRESS)
        answer = slow.http().send(request, stream=True)
    lines = answer.read().decode().split("\n")
    told = [index for index, line in enumerate(lines) if line.startswith(":")]
    assert told
    assert all(lines[index + 1] for index in told), "an EventSource would keep the id; OpenAI's client dies"
