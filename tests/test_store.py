"""The connection to Redis: what is lent is sound, though nobody asks redis-py whether it is."""

from __future__ import annotations

import pytest

from shared.store import Outage, connect
from tests.stack import Stack


def test_a_connection_that_was_closed_meanwhile_is_opened_again(empty: Stack) -> None:
    """Also for who sends nothing twice."""
    with connect(empty.settings["redis_url"], retries=0) as client:
        assert client.ping()
        empty.redis.client_kill_filter(_id=str(client.client_id()))
        assert client.ping()


def test_an_answer_that_nobody_has_read_is_nobody_elses(empty: Stack) -> None:
    with connect(empty.settings["redis_url"], retries=0) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("ECHO", "for another one")
        assert connection.can_read(timeout=5)
        client.connection_pool.release(connection)
        assert client.echo("mine") == b"mine"


def test_who_finds_no_connection_free_is_told(empty: Stack) -> None:
    with connect(f"{empty.settings['redis_url']}?max_connections=1&timeout=0.1", retries=0) as client:
        connection = client.connection_pool.get_connection()
        with pytest.raises(Outage, match="No connection"):
            client.ping()
        client.connection_pool.release(connection)
        assert client.ping()
