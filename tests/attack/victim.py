"""A victim: a well-behaved client with a key of its own, that measures how soon it is answered."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

import httpx2 as httpx
import openai
from openai import OpenAI
from openai.types.responses import Response

from tests.attack.ground import Ground
from tests.beside import Helper
from tests.calls import said

PACE = 0.15
"""Seconds between two of its chats."""
PATIENCE = 60.0
"""Seconds after which it gives an answer up."""
_TEXT = "One two three four"


@dataclass(frozen=True, slots=True)
class Chat:
    """One small streamed chat."""

    begun: float
    """When it was sent (monotonic)."""
    first: float
    """Seconds to its first token, or to its failure."""
    failure: str = ""


class Victim:
    """Asks again and again, with the unmodified client: by turns on a connection that it keeps, and on a new one."""

    def __init__(self, ground: Ground, *, stores: bool = False) -> None:
        """`stores`: beside each chat it stores a file, and has a response stored, reads both, and what it had first."""
        self._stores = stores
        self.chats: list[Chat] = []
        self._first: tuple[Response, str, str] | None = None
        """A response, a chat and a file that it has from the beginning."""
        self._model = ground.model
        self._expected = _TEXT if ground.model == "echo" else ""
        self._open = ExitStack()
        self._clients = [
            self._open.enter_context(
                OpenAI(
                    base_url=f"{ground.url}/v1",
                    api_key=ground.key("victim") or "none",
                    max_retries=0,
                    timeout=PATIENCE,
                    http_client=httpx.Client(limits=limits),
                )
            )
            for limits in (httpx.Limits(), httpx.Limits(max_keepalive_connections=0))
        ]
        self._over = threading.Event()

    def __enter__(self) -> Victim:
        self._helper = Helper(self._run)
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._helper.finish(2 * PATIENCE)
        self._open.close()

    def between(self, begin: float, end: float) -> list[Chat]:
        """Those that were sent then."""
        return [chat for chat in tuple(self.chats) if begin <= chat.begun < end]

    def wait(self, since: float, count: int) -> list[Chat]:
        """Wait until so many that were sent after that have been answered or have failed."""
        end = time.monotonic() + 2 * PATIENCE
        while len(chats := self.between(since, end)) < count and time.monotonic() < end:
            time.sleep(0.02)
        return chats

    def _run(self) -> None:
        for client in itertools.cycle(self._clients):
            if self._over.wait(PACE):
                return
            chat = self._chat(client)
            self.chats.append(self._store(client, chat) if self._stores and not chat.failure else chat)

    def _store(self, client: OpenAI, chat: Chat) -> Chat:
        """The chat, with what went wrong with what is stored."""
        try:
            return replace(chat, failure=self._look(client))
        except (openai.OpenAIError, httpx.HTTPError) as exc:
            return replace(chat, failure=f"stored: {type(exc).__name__}: {exc}"[:150])

    def _look(self, client: OpenAI) -> str:
        """What is wrong with what is stored; empty where nothing is."""
        if self._first is None:
            kept = client.chat.completions.create(model=self._model, messages=said(_TEXT), store=True)
            blob = client.files.create(file=("a.txt", _TEXT.encode()), purpose="user_data")
            self._first = (client.responses.create(model=self._model, input=_TEXT), kept.id, blob.id)
        first, chat_id, file_id = self._first
        file = client.files.create(file=("a.txt", _TEXT.encode()), purpose="user_data")
        read = [client.files.content(each).read() for each in (file.id, file_id)]
        client.files.delete(file.id)
        if read != [_TEXT.encode()] * 2:
            return f"files came back as {read!r}"[:150]
        new = client.responses.create(model=self._model, input=_TEXT)
        client.responses.delete(new.id)
        if (found := client.responses.retrieve(first.id)) != first:
            return f"a response came back as {found}"[:150]
        stored = client.chat.completions.retrieve(chat_id).choices[0].message.content
        return "" if stored == _TEXT else f"a chat came back as {stored!r}"[:150]

    def _chat(self, client: OpenAI) -> Chat:
        begun = time.monotonic()
        first, text, reason = 0.0, "", None
        try:
            stream = client.chat.completions.create(
                model=self._model, messages=said(_TEXT), max_tokens=4, temperature=0, stream=True
            )
            for chunk in stream:
                if time.monotonic() - begun > PATIENCE:
                    return Chat(begun, time.monotonic() - begun, "it takes for ever")
                for choice in chunk.choices:
                    reason = choice.finish_reason or reason
                    if choice.delta.content:
                        first = first or time.monotonic() - begun
                        text += choice.delta.content
        except (openai.OpenAIError, httpx.HTTPError) as exc:
            return Chat(begun, time.monotonic() - begun, f"{type(exc).__name__}: {exc}"[:150])
        if reason is None or not text or (self._expected and text != self._expected):
            return Chat(begun, time.monotonic() - begun, f"was told {text!r}, which ends with {reason}")
        return Chat(begun, first)
