"""A TCP relay between a process and Valkey that can be cut as a network is: nobody is told."""

from __future__ import annotations

import asyncio
import socket


class Relay:
    """Listens on a port of its own from the start; passes bytes on while `serve` runs."""

    def __init__(self, target: int) -> None:
        """`target` is Valkey's port."""
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._links: set[_Link] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self.port = int(self._listening.getsockname()[1])

    async def serve(self) -> None:
        """Until cancelled."""
        server = await asyncio.get_running_loop().create_server(lambda: _Near(self), sock=self._listening)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            self._drop()

    def cut(self) -> None:
        """Pass nothing on any more. Connections stay open, and new ones come to be, but carry nothing."""
        self._whole.clear()
        for link in self._links:
            link.pause()

    def heal(self, *, drop: bool) -> None:
        """Pass on again: what was held back, or only what comes on new connections."""
        self._whole.set()
        if drop:
            self._drop()
        for link in self._links:
            link.resume()

    async def join(self, link: _Link) -> None:
        """Take in a new connection, and connect it with Valkey."""
        self._links.add(link)
        await self._whole.wait()
        if link.near.is_closing():
            return
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Far(link), "127.0.0.1", self._target)
        except OSError:
            link.close()
        if self._whole.is_set():
            link.resume()
        else:
            link.pause()

    def forget(self, link: _Link) -> None:
        self._links.discard(link)

    def _drop(self) -> None:
        for link in self._links:
            link.abort()


class _Link:
    """A process's connection and the one to Valkey that belongs to it."""

    def __init__(self, near: asyncio.Transport) -> None:
        self.near = near
        self.far: asyncio.Transport | None = None

    def pause(self) -> None:
        for end in self._ends():
            end.pause_reading()

    def resume(self) -> None:
        if self.far is not None:
            for end in self._ends():
                end.resume_reading()

    def close(self) -> None:
        """Once one end is closed, the other is, after what was under way to it."""
        for end in self._ends():
            end.close()

    def abort(self) -> None:
        for end in self._ends():
            end.abort()

    def _ends(self) -> list[asyncio.Transport]:
        return [end for end in (self.near, self.far) if end is not None]


class _Near(asyncio.Protocol):
    """The end that a process has connected to. Nothing is read from it before there is the other one."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._link = _Link(transport)
        self._joining = asyncio.ensure_future(self._relay.join(self._link))

    def data_received(self, data: bytes) -> None:
        assert self._link.far is not None
        self._link.far.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.forget(self._link)
        self._link.close()


class _Far(asyncio.Protocol):
    """The end at Valkey."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._link.far = transport
        if self._link.near.is_closing():
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._link.near.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.close()
