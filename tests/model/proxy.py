"""A proxy that loses answers: the command was done, and its client does not know."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress


class Proxy:
    """Connections to Valkey's port on a port of their own, until `close`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.armed = False
        """The answer to the next script is lost, and its connection with it."""
        self.only = b""
        """What the script's command has in it."""
        self.shuts = False
        """With an answer it loses all connections that are made since, until this is taken back."""
        self.lost = 0
        """Answers that were lost so far."""
        self.refused = 0
        """Connections since."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.shuts and self.lost:
                    self.refused += 1
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        script = False
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    blob = ready.recv(1 << 20)
                    if not blob:
                        return
                    if ready is client:
                        script = b"EVALSHA" in blob and self.only in blob
                        server.sendall(blob)
                    elif self.armed and script and not blob.startswith(b"-NOSCRIPT"):
                        self.armed = False
                        self.lost += 1
                        return
                    else:
                        client.sendall(blob)
