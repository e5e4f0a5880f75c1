"""TLS in front of a server that has none, with a certificate of a private authority. Needs the program `openssl`."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CA = "ca.pem"


@contextmanager
def tls_in_front_of(port: int, directory: Path) -> Iterator[int]:
    """The port on `localhost`, and no other name, where TLS is spoken; puts the authority's `CA` into `directory`."""
    _make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, context, port), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            threading.Thread(target=_relay, args=(listener.accept()[0], context, port), daemon=True).start()


def _relay(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with (
        suppress(OSError),
        context.wrap_socket(plain, server_side=True) as client,
        socket.create_connection(("127.0.0.1", port)) as server,
    ):
        threading.Thread(target=_pump, args=(server, client), daemon=True).start()
        _pump(client, server)


def _pump(source: socket.socket, destination: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            destination.sendall(data)
    with suppress(OSError):
        destination.shutdown(socket.SHUT_RDWR)


def _make_certificate(directory: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("making a certificate needs openssl")
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    authority = ["-subj", "/CN=a private authority", "-keyout", "ca.key", "-out", CA]
    server = [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=CA:FALSE",
    ]
    server += ["-CA", CA, "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.pem"]
    for options in (authority, server):
        subprocess.run([*new, *options], cwd=directory, capture_output=True, check=True)
