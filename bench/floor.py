"""The floor of a gateway: a bare Flask application that streams the same bytes, with no queue behind it.

    gunicorn --worker-class gevent 'bench.floor:create_app(10)'

It answers as the echo engine does, with the words of the last message.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Response, request

_HEAD = '{"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1700000000,'
_HEAD += '"model":"echo","choices":[{"index":0,"delta":'
_TAIL = ',"logprobs":null,"finish_reason":%s}],"system_fingerprint":"fp_0123456789abcdef","service_tier":"default"}'


def frame(delta: str, reason: str = "null") -> bytes:
    return f"data: {_HEAD}{delta}{_TAIL % reason}\n\n".encode()


def create_app(rate: float) -> Flask:
    """`rate`: tokens a second of each stream."""
    app = Flask(__name__)

    @app.post("/v1/chat/completions")
    def chat() -> Response:
        words = request.get_json()["messages"][-1]["content"].split(" ")
        return Response(stream(words, rate), mimetype="text/event-stream")

    return app


def stream(words: list[str], rate: float) -> Iterator[bytes]:
    due = time.monotonic()
    yield frame('{"role":"assistant","content":""}')
    for number, word in enumerate(words):
        if rate:
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        yield frame('{"content":"%s"}' % (f" {word}" if number else word))
    yield frame("{}", '"stop"') + b"data: [DONE]\n\n"
