"""A server that is measured: what it takes, and its streamed answers with the times at which they came."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2

from inferq.bench.answers import Arrival, TimedAnswer, understand
from inferq.errors import GatewayError
from inferq.tools.gateway import base_url, refusal_reason
from shared.errors import InvalidRequest

_TIMEOUT = httpx2.Timeout(300.0, connect=10.0)
"""Seconds of silence, and to reach it."""
_LONGEST = 64 * 1024 * 1024
"""Bytes of an answer, which a server that never ends would exceed."""
_NOT_HERE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_NOT_SO = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


@dataclass(frozen=True, slots=True)
class AskingForm:
    """How a server is asked; none takes all that others take."""

    path: str
    limit: str = "max_tokens"
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def chat(self) -> bool:
        return self.path.startswith("/chat")

    def body(self, model: str, prompt: str, tokens: int) -> dict[str, Any]:
        said = {"messages": [{"role": "user", "content": prompt}]} if self.chat else {"prompt": prompt}
        return {"model": model, **said, "stream": True, self.limit: tokens, **self.extras}


_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
FORMS = [
    AskingForm(path, limit, extras)
    for path in ("/chat/completions", "/completions")
    for limit, extras in (
        ("max_tokens", {**_USAGE, "ignore_eos": True, "temperature": 0}),
        ("max_tokens", _USAGE),
        ("max_tokens", {}),
        ("max_completion_tokens", _USAGE),
    )
]
"""From the one that makes answers of the wished length, and has them counted, to what everybody takes."""


class _Refused(GatewayError):
    """With its status; the user reads why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Contender:
    """Of one bench, in one event loop. Raises GatewayError, and InvalidRequest of an address that is none."""

    def __init__(self, name: str, url: str, key: str | None, model: str | None, socket: Path | None = None) -> None:
        """`name` is what the user calls it; without a `model` it is the first that the server lists. With a `socket` it
        is asked there."""
        self.name = name
        self.model = model or ""
        self.form = FORMS[0]
        self.software = ""
        """What it says of itself."""
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        # llama.cpp's server may end a connection right after a stream, while the next request is on its way.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0 if socket else None)
        self._http = httpx2.AsyncClient(
            base_url=base_url(url, "URL"),
            headers=headers,
            timeout=_TIMEOUT,
            limits=limits,
            transport=httpx2.AsyncHTTPTransport(uds=str(socket), limits=limits) if socket else None,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def meet(self, prompt: str, tokens: int) -> TimedAnswer:
        """Find out which model and which form it takes; the first answer."""
        self.model = self.model or await self._first_model()
        refused: _Refused | None = None
        gone = ""
        for form in FORMS:
            if form.path == gone:
                continue
            self.form = form
            try:
                return await self.ask(prompt, tokens)
            except _Refused as exc:
                if exc.status not in (*_NOT_HERE, *_NOT_SO):
                    raise
                refused, gone = refused or exc, form.path if exc.status in _NOT_HERE else gone
        assert refused is not None, "there are forms"
        raise refused

    async def ask(self, prompt: str, tokens: int) -> TimedAnswer:
        return understand(await self.listen(prompt, tokens))

    async def listen(self, prompt: str, tokens: int) -> list[Arrival]:
        """What comes, as it comes."""
        body = self.form.body(self.model, prompt, tokens)
        request = self._http.build_request("POST", self.form.path.lstrip("/"), json=body)
        arrivals: list[Arrival] = []
        size, begun = 0, time.perf_counter()
        try:
            answer = await self._http.send(request, stream=True)
            try:
                await self._check(answer)
                async for data in answer.aiter_raw():
                    arrivals.append((time.perf_counter() - begun, data))
                    size += len(data)
                    if size > _LONGEST:
                        raise GatewayError(f"{self.name}: the answer is longer than {_LONGEST} bytes")
            finally:
                await answer.aclose()
        except httpx2.RemoteProtocolError as exc:
            after = f" after {len(arrivals)} reads" if arrivals else ""
            raise GatewayError(f"{self.name}: the stream was cut{after}") from exc
        except httpx2.HTTPError as exc:
            raise self._unreachable(exc) from exc
        return arrivals

    async def _check(self, answer: httpx2.Response) -> None:
        """Raises GatewayError of what is no stream."""
        self.software = answer.headers.get("server", "")
        if answer.status_code != HTTPStatus.OK:
            reason = refusal_reason(await answer.aread(), answer.reason_phrase)
            raise _Refused(f"{self.name}: {answer.status_code}: {reason}", answer.status_code)
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "text/event-stream":
            kind = kind or "something without a type"
            raise GatewayError(f"{self.name}: it does not stream: it answers with {kind}, whole")

    async def _first_model(self) -> str:
        try:
            answer = await self._http.get("models")
            if answer.is_error:
                reason = refusal_reason(answer.content, f"{answer.status_code} {answer.reason_phrase}")
                raise GatewayError(f"{self.name}: its models are not told: {reason}; name one with --model")
            return str(answer.json()["data"][0]["id"])
        except httpx2.HTTPError as exc:
            raise self._unreachable(exc) from exc
        except (ValueError, LookupError, TypeError) as exc:
            raise InvalidRequest(f"{self.name} lists no model; name one", param="--model") from exc

    def _unreachable(self, exc: httpx2.HTTPError) -> GatewayError:
        more = "; is it up, and is that its address?" if isinstance(exc, httpx2.ConnectError) else ""
        return GatewayError(f"{self.name}: {exc or type(exc).__name__}{more}")
