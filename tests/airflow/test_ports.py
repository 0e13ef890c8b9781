"""Ports of the local Airflow: the one that was asked for, or one that nobody else has or is about to have."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from domain.registry.errors import InvalidInput
from veritasvault.airflow_local.ports import reserve_port


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_a_port_that_is_listened_on_is_refused(listening: int) -> None:
    """The sentence names the variable, the port and what to do."""
    with pytest.raises(InvalidInput, match=f"AIRFLOW__API__PORT is {listening}: another program uses"):
        reserve_port(listening)


def test_a_reserved_port_is_refused_until_it_is_released() -> None:
    """Between the search for a free port and the server's start, nobody else is given it."""
    first = reserve_port(None)
    with pytest.raises(InvalidInput, match=str(first.number)):
        reserve_port(first.number)
    first.release()
    again = reserve_port(first.number)
    again.release()


def test_everybody_gets_a_port_of_his_own() -> None:
    """Without a wish, two at once get two ports."""
    reserved = [reserve_port(None) for _ in range(5)]
    assert len({port.number for port in reserved}) == 5
    for port in reserved:
        port.release()
