"""The handshake that makes a connection a WebSocket."""

from __future__ import annotations

import binascii
from base64 import b64decode

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from wsproto.utilities import generate_accept_token

from shared.errors import InvalidRequest

_VERSION = "13"


class UpgradeRequired(HTTPException):
    code = 426
    description = f"Only version {_VERSION} of WebSockets is spoken here."

    def get_headers(self, *args: object) -> list[tuple[str, str]]:
        return [("Sec-WebSocket-Version", _VERSION)]


def accept(headers: Headers) -> dict[str, str]:
    """The headers of the answer to a request for a WebSocket with these. Raises UpgradeRequired, InvalidRequest."""
    if headers.get("Sec-WebSocket-Version") != _VERSION:
        raise UpgradeRequired
    key = headers.get("Sec-WebSocket-Key", "")
    try:
        nonce = b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise InvalidRequest("Sec-WebSocket-Key: expected 16 bytes in base64.", param="Sec-WebSocket-Key")
    token = generate_accept_token(key.encode()).decode()
    return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": token}
