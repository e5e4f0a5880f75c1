"""The shortcut of a stream: whoever brings a piece of text sends it to the client at once.

Waking the greenlet that serves the connection, for it to do the same, takes as long again as all else about a token.
It is woken where the client does not read fast enough, and for whatever is no mere piece of text.
"""

from __future__ import annotations

from gateway.client import Client


class Shortcut:
    """To the client of one response, which is sent in chunks. Only while nothing else of it is being sent."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, piece: bytes) -> bool:
        """Send a part of the body, as far as it goes at once. False where `finish` is to be called."""
        return not piece or self._client.offer(b"%X\r\n%b\r\n" % (len(piece), piece))

    def hold_head(self) -> None:
        """The head of the response goes out with the first part of its body, which follows at once."""
        self._client.holds_head = True

    def finish(self) -> None:
        """Send what is left of it. Raises Gone."""
        self._client.sendall(b"")
