"""The lines of a batch's files of results, as OpenAI's: one for each request, in either file. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gateway.schemas.openai import encode

EXPIRED = ("batch_expired", "This request could not be executed before the completion window expired.")
CANCELLED = ("batch_cancelled", "This request was not executed: the batch was cancelled.")


def line_id(batch_id: str, number: int) -> str:
    """That of the request on this line, whoever asks and however often."""
    return "batch_req_" + sha256(f"{batch_id}/{number}".encode()).hexdigest()[:32]


def answered(identity: str, custom_id: str, status: int, request_id: str, body: Any) -> bytes:
    """The line of a request with what its endpoint says: an answer, or with another status than 200 why there is none.

    `body` may be `msgspec.Raw`.
    """
    response = {"status_code": status, "request_id": request_id, "body": body}
    return encode({"id": identity, "custom_id": custom_id, "response": response, "error": None}) + b"\n"


def unanswered(identity: str, custom_id: str, code: str, message: str) -> bytes:
    """That of a request that came to no endpoint; see `EXPIRED`, `CANCELLED`."""
    error = {"code": code, "message": message}
    return encode({"id": identity, "custom_id": custom_id, "response": None, "error": error}) + b"\n"
