"""Answers of a running gateway, over OpenAI's API."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec.structs import asdict

from inferq.errors import GatewayError
from inferq.tools.answers import QueuePlace
from shared.cancellation import NEVER, Cancellable, Cancellation, abort, check
from shared.config import Config
from shared.errors import InvalidApiKey, InvalidRequest, ModelNotFound
from shared.protocol import Chat, Delta, Done, Event, Progress, TextTask, Usage

_CONNECT = 10.0
"""Seconds to reach it."""
_QUEUED = re.compile(rb": queued position=(\d{1,9})(?: wait=(\d{1,9}s))?")
_READING = re.compile(rb": prompt (\d{1,9})/(\d{1,9})")
"""The comments that tell how a job stands."""
_USUAL_TOKENS = Config().usual_max_tokens
"""`max_tokens` of a completion that asks for no number: as for a chat, and not 16, as gateways have it."""


def base_url(url: str, param: str = "--url") -> str:
    """That of the API, which ends with `/v1`, of a gateway at this address. Raises InvalidRequest."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(f"{url!r} is no address such as http://127.0.0.1:8000", param=param)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}/v1"


def refusal_reason(body: bytes, otherwise: str) -> str:
    """What an error of OpenAI's form says, or else the other text."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return otherwise


def _code(body: bytes) -> str | None:
    """What an error of OpenAI's form is called."""
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) else None


class GatewayAnswers:
    """`model` may be None where the gateway serves only one. Raises GatewayError, InvalidRequest."""

    def __init__(self, url: str, model: str | None, api_key: str | None) -> None:
        self._url, self._parts = url, urlsplit(base_url(url))
        self._base = self._parts.path
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
        self._headers["x-inferq-progress"] = "1"
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._running = Cancellation()
        self.model = self._look_up(model) if model else self._only_model()

    def answer(self, task: TextTask) -> Iterator[Event | QueuePlace]:
        self._running = Cancellation()
        chat = isinstance(task, Chat)
        with self._connect(self._running) as connection:
            response = self._request(connection, "/chat/completions" if chat else "/completions", _body(task))
            for chunk in self._chunks(response):
                if isinstance(chunk, Progress | QueuePlace):
                    yield chunk
                    continue
                for choice in chunk["choices"]:
                    said = choice["delta"] if chat else {"content": choice["text"]}
                    if thoughts := said.get("reasoning_content"):
                        yield Delta(thoughts, reasoning=True)
                    yield Delta(said.get("content") or "", finish_reason=choice["finish_reason"])
                if used := chunk.get("usage"):
                    yield Done(Usage(used["prompt_tokens"], used["completion_tokens"]))

    def cancel(self) -> None:
        """The gateway cancels the job of a client that leaves."""
        self._running.cancel()

    def _look_up(self, model: str) -> str:
        """A wrong name or key is told before anybody has written something; what else it says shows when it is asked:
        not every server tells of its models."""
        with self._connect() as connection:
            try:
                self._request(connection, f"/models/{quote(model)}", None).read()
            except GatewayError as exc:
                if exc.code in (ModelNotFound.code, InvalidApiKey.code):
                    raise
        return model

    def _only_model(self) -> str:
        with self._connect() as connection:
            models = json.loads(self._request(connection, "/models", None).read())["data"]
        names = list(dict.fromkeys(model.get("root") or model["id"] for model in models))  # a model may have aliases
        if len(names) != 1:
            raise InvalidRequest(f"{self._url} serves {', '.join(names) or 'no model'}; choose one with -m", param="-m")
        return str(names[0])

    @contextlib.contextmanager
    def _connect(self, work: Cancellable = NEVER) -> Iterator[http.client.HTTPConnection]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        try:
            connection = kind(self._parts.hostname or "", self._parts.port, timeout=_CONNECT)
            with contextlib.closing(connection):
                connection.connect()
                connection.sock.settimeout(None)  # an answer may wait in the queue for long
                work.on_cancel(partial(abort, connection.sock))
                yield connection
                check(work)
        except ConnectionRefusedError as exc:
            raise GatewayError(f"{self._url}: nobody answers there; `inferq up` serves, and tells its address") from exc
        except (OSError, http.client.HTTPException, ValueError, KeyError) as exc:
            check(work)
            raise GatewayError(f"{self._url}: {exc or type(exc).__name__}") from exc

    def _request(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        payload = None if body is None else json.dumps(body)
        connection.request("POST" if payload else "GET", self._base + path, payload, self._headers)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise self._refusal(response.read(), f"{response.status} {response.reason}")
        return response

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[dict[str, Any] | Progress | QueuePlace]:
        while line := response.readline():
            if stand := _stand(line):
                yield stand
            if not line.startswith(b"data: "):
                continue
            if line.strip() == b"data: [DONE]":
                return
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise self._refusal(line[6:], "error")
            yield chunk
        raise http.client.IncompleteRead(b"")

    def _refusal(self, body: bytes, otherwise: str) -> GatewayError:
        return GatewayError(f"{self._url}: {refusal_reason(body, otherwise)}", code=_code(body))


def _stand(comment: bytes) -> Progress | QueuePlace | None:
    """How the job stands, where the line is a comment that tells it."""
    if place := _QUEUED.match(comment):
        return QueuePlace(int(place[1]), (place[2] or b"").decode())
    return Progress(int(read[1]), int(read[2])) if (read := _READING.match(comment)) else None


def _body(task: TextTask) -> dict[str, Any]:
    body: dict[str, Any] = {
        name: value
        for name, value in asdict(task.sampling).items()
        if value is not None and value != () and value is not False and name != "caching"  # the gateway's own word
    }
    if "logit_bias" in body:
        body["logit_bias"] = {str(token): bias for token, bias in body["logit_bias"]}
    body |= {"model": task.model, "stream": True, "stream_options": {"include_usage": True}}
    if isinstance(task, Chat):
        return body | {"messages": [asdict(message) for message in task.messages]}
    return {"max_tokens": _USUAL_TOKENS} | body | {"prompt": task.prompt[0]}
