"""Addresses that can and cannot be listened on."""

import os
import socket
from pathlib import Path

import pytest

from server.checks import serving
from server.checks.finding import State
from server.settings import Settings


def test_no_tcp_address_is_fine() -> None:
    assert serving.tcp_address(Settings()).state is State.OK


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        found = serving.tcp_address(Settings(listen_address=address))
        assert found.state is State.BLOCKER
        assert found.found == f"listen on {address}: Address already in use"
    assert serving.tcp_address(Settings(listen_address=address)).found == f"{address} is free"
    # and it still is
    socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))).close()


def test_an_address_of_another_machine_is_named() -> None:
    found = serving.tcp_address(Settings(listen_address="192.0.2.1:0"))
    assert found.state is State.BLOCKER
    assert "192.0.2.1" in found.found


def test_a_path_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "run" / "hubble.sock"
    assert serving.unix_socket(Settings(socket_path=path)).state is State.OK
    assert not list(tmp_path.iterdir())


def test_a_socket_that_is_served_and_one_that_was(tmp_path: Path) -> None:
    path = tmp_path / "s"
    settings = Settings(socket_path=path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        found = serving.unix_socket(settings)
        assert (found.state, found.found) == (State.BLOCKER, f"{path} is served")
    assert serving.unix_socket(settings).state is State.OK
    assert path.exists()


def test_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    found = serving.unix_socket(Settings(socket_path=tmp_path / "s"))
    assert (found.state, found.found) == (State.BLOCKER, f"{tmp_path}/s is there and no socket")
    below = serving.unix_socket(Settings(socket_path=tmp_path / "s" / "below"))
    assert (below.state, below.found) == (State.BLOCKER, f"may not be made in {tmp_path}/s")


@pytest.mark.parametrize(("length", "state"), [(107, State.OK), (108, State.BLOCKER)])
def test_the_longest_path(length: int, state: State) -> None:
    path = Path("/tmp/" + "x" * (length - 5))
    assert len(os.fsencode(path)) == length
    assert serving.unix_socket(Settings(socket_path=path)).state is state
