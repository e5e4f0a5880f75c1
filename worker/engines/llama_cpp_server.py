"""HTTP to llama.cpp's server in its host: the one seam where its errors and its end become ours."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import re
import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from shared.cancellation import NEVER, Cancellable, abort, aborting, check
from shared.errors import EngineError, HostDied, InferqError, InvalidRequest
from worker.engines.host import EngineHost

_BYTES_A_SECOND = 50_000
"""How fast llama.cpp reads a question at the very least: it tokenizes one or two million."""


_REFUSAL = re.compile(r".*\n-+\nWhile executing .*\nError: (?:Jinja Exception: )?(.*)", re.DOTALL)
"""A template's own words, and what llama.cpp puts around them, which takes some of them for faults of its own."""
LARGEST_ANSWER = 67_108_864
"""Bytes of one answer: the log probabilities of a large vocabulary have 20 million."""
LONGEST_LINE = 1_048_576
"""Bytes of a line of a stream."""
LONGEST_LEAVING = 10.0
"""Seconds that llama.cpp may take to leave a slot: a step, on a slow machine."""
LISTENING = 2.0
"""Seconds between two questions to a host that may be silent for long."""
_END = b"data: [DONE]"
"""The last line of a chat."""


class OutOfCells(EngineError):
    """The KV cache is full. llama.cpp tells it to every running request, whichever of them is large."""


class Unreadable(EngineError):
    """llama.cpp cannot read the answer that it made, or its end."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket that is connected already."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__("localhost")
        self.sock = connected


class LlamaServer:
    """Every method waits while the host is being restarted.

    They raise JobCancelled once `work` is cancelled, InvalidRequest where llama.cpp refuses a request, HostDied, with
    the tail of the host's log, when the host dies meanwhile, and HostUnavailable when it cannot be started again.
    """

    def __init__(self, host: EngineHost, key: str) -> None:
        self._host = host
        self._slot_named: dict[str, int] = {}
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def at(self, slot: int) -> LlamaServer:
        """The same, where all that is computed is computed in that slot."""
        other = copy.copy(self)
        other._slot_named = {"id_slot": slot}
        return other

    @property
    def life(self) -> int:
        """See `EngineHost.life`."""
        return self._host.life

    def ask(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        work: Cancellable = NEVER,
        param: str | None = None,
        *,
        steps: int = 1,
        seconds: float = 0.0,
        computes: bool = False,
    ) -> Any:
        """One question, one JSON answer. `param` is the request's parameter at fault when the question is refused.

        It is answered after up to so many steps of computing, and `seconds` of other work. One that `computes` has a
        slot: when it is cancelled, it raises once llama.cpp has left that.
        """
        connected, life = self._host.connect(work)
        connection, taking = _Connection(connected), self._slot if computes else aborting
        body = {**body, **self._slot_named} if body is not None and computes else body
        with contextlib.closing(connection), self._death_of(life, work), taking(connected, work):
            response = self._send(connection, path, body, steps, seconds)
            with self._host.pulse.expect():
                answer = json.loads(_read(response))
            self._host.pulse.beat()
        if response.status != http.HTTPStatus.OK:
            raise _error(response.status, answer, param)
        return answer

    def stream(
        self, path: str, body: Mapping[str, Any], work: Cancellable = NEVER, *, seconds: float = 0.0
    ) -> Generator[dict[str, Any], None, None]:
        """The chunks of a streamed answer up to the one that says `stop`, or as chats have it up to a word of its own;
        `seconds` of other work come before them.

        However it ends, and when the iterator is closed: llama.cpp has left its slot by then.
        """
        connected, life = self._host.connect(work)
        connection, pulse = _Connection(connected), self._host.pulse
        with contextlib.closing(connection), self._death_of(life, work), self._slot(connected, work):
            response = self._send(connection, path, {**body, **self._slot_named}, seconds=seconds)
            if response.status != http.HTTPStatus.OK:
                raise _error(response.status, json.loads(_read(response)), None)
            # Each event is one line; the lines between are blank or frame the HTTP chunks. Reading them past
            # http.client's own decoding of chunks saves a fifth of the time that a token costs.
            while True:
                with pulse.expect():
                    line = response.fp.readline(LONGEST_LINE)
                if not line.endswith(b"\n"):
                    raise ConnectionResetError("the stream ended early, or has a line without end")
                pulse.beat()
                if not line.startswith(b"data: "):
                    continue
                if line.startswith(_END):
                    return
                chunk = json.loads(line[6:])
                check(work)
                if "error" in chunk:
                    raise _error(chunk["error"]["code"], chunk, None)
                yield chunk
                if chunk.get("stop"):
                    return

    @contextlib.contextmanager
    def listening(self, work: Cancellable = NEVER) -> Iterator[None]:
        """Within `with`, the host is heard while it computes, although its chats are silent.

        They hold back what may become a call. This question it answers between two steps."""
        over = threading.Event()

        def listen() -> None:
            while not over.wait(LISTENING):
                with contextlib.suppress(InferqError):
                    self.ask("/lora-adapters", None, work)

        threading.Thread(target=listen, name="listening", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    @contextlib.contextmanager
    def _slot(self, connected: socket.socket, work: Cancellable) -> Iterator[None]:
        """Within `with`, llama.cpp computes for this connection; afterwards it has left the slot that it took for that.

        A request that came earlier would wait within llama.cpp for a slot, and when that is cancelled take one all the
        same, for a step or two: llama.cpp does not look whether anybody waits there who has left. The end of our side
        is the end of all to it, with its next word. It leaves the slot before it ends its own side.
        """
        longest = threading.Timer(LONGEST_LEAVING, abort, (connected,))
        longest.daemon = True

        def leave() -> None:
            abort(connected, socket.SHUT_WR)
            with contextlib.suppress(RuntimeError):  # it has been
                longest.start()

        work.on_cancel(leave)
        try:
            check(work)
            try:
                yield
            finally:
                abort(connected, socket.SHUT_WR)
                room = LONGEST_LINE  # for what is on its way
                with contextlib.suppress(OSError), self._host.pulse.expect():  # a refusal has closed it
                    connected.settimeout(LONGEST_LEAVING)
                    while room > 0 and (said := connected.recv(room)):
                        self._host.pulse.beat()
                        room -= len(said)
        finally:
            work.forget(leave)
            longest.cancel()

    def _send(
        self,
        connection: _Connection,
        path: str,
        body: Mapping[str, Any] | None,
        steps: int = 1,
        seconds: float = 0.0,
    ) -> http.client.HTTPResponse:
        payload = None if body is None else json.dumps(body)
        with self._host.pulse.expect(steps, seconds + len(payload or "") / _BYTES_A_SECOND):
            connection.request("POST" if payload else "GET", path, payload, self._headers)
            response = connection.getresponse()
        self._host.pulse.beat()
        return response

    @contextlib.contextmanager
    def _death_of(self, life: int, work: Cancellable = NEVER) -> Iterator[None]:
        """Turns a broken connection into the reason why it broke."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as exc:  # the last two: no JSON
            check(work)
            raise HostDied(self._host.obituary(life)) from exc


def _read(response: http.client.HTTPResponse) -> bytes:
    """All of an answer. Raises ValueError for one that is too large to be llama.cpp's."""
    if len(body := response.read(LARGEST_ANSWER + 1)) > LARGEST_ANSWER:
        raise ValueError("the host sends without end")
    return body


def _error(status: int, answer: Any, param: str | None) -> InferqError:
    message = answer["error"]["message"]
    if refused := _REFUSAL.fullmatch(message):
        return InvalidRequest(f"the model's chat template refuses this conversation: {refused[1]}", param=param)
    if status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return InvalidRequest(message, param=param)
    if message.startswith("Context size has been exceeded"):
        return OutOfCells(message)
    if message.startswith("The model produced output that does not match"):
        return Unreadable(message)
    return EngineError(f"llama.cpp failed: {message}")
