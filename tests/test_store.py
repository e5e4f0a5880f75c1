"""The connection to Redis: what is lent is sound, though nobody asks redis-py whether it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shared.store import Outage, connect
from tests.stack import Stack
from tests.tls import CA, tls_in_front_of


def test_a_connection_that_was_closed_meanwhile_is_opened_again(empty: Stack) -> None:
    """Also for who sends nothing twice."""
    with connect(empty.settings["redis_url"], retries=0) as client:
        assert client.ping()
        empty.redis.client_kill_filter(_id=str(client.client_id()))
        assert client.ping()


def test_so_is_one_through_tls(empty: Stack, tmp_path: Path) -> None:
    """Where redis-py's own look fails, instead of telling that it is closed."""
    with (
        tls_in_front_of(empty.redis_port, tmp_path) as port,
        connect(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / CA}", retries=0) as client,
    ):
        connection = client.connection_pool.get_connection()
        empty.redis.client_kill_filter(_id=str(_id(connection)))
        assert connection._sock.recv(1) == b""
        client.connection_pool.release(connection)
        assert client.ping()


def test_who_was_forked_has_connections_of_its_own(empty: Stack) -> None:
    with connect(empty.settings["redis_url"], retries=0) as client:
        before, (reading, writing) = client.client_id(), os.pipe()
        if not (child := os.fork()):
            try:
                os.write(writing, str(client.client_id()).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert told.read() not in ("", str(before))
        assert client.client_id() == before


def test_an_answer_that_nobody_has_read_is_nobody_elses(empty: Stack) -> None:
    with connect(empty.settings["redis_url"], retries=0) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("ECHO", "for another one")
        assert connection.can_read(timeout=5)
        client.connection_pool.release(connection)
        assert client.echo("mine") == b"mine"


def test_nor_is_one_that_came_with_another_one(empty: Stack) -> None:
    """It waits with whoever parses answers, and not at the socket."""
    with connect(empty.settings["redis_url"], retries=0) as client:
        connection = client.connection_pool.get_connection()
        connection.send_packed_command(connection.pack_commands([("ECHO", "read"), ("ECHO", "for another one")]))
        assert connection.read_response() == b"read"
        client.connection_pool.release(connection)
        assert client.echo("mine") == b"mine"


def test_who_finds_no_connection_free_is_told(empty: Stack) -> None:
    with connect(f"{empty.settings['redis_url']}?max_connections=1&timeout=0.1", retries=0) as client:
        connection = client.connection_pool.get_connection()
        with pytest.raises(Outage, match="No connection"):
            client.ping()
        client.connection_pool.release(connection)
        assert client.ping()


def _id(connection: Any) -> int:
    connection.send_command("CLIENT", "ID")
    return int(connection.read_response())
