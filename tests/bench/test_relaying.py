"""The relay's bench on a small scale: real processes, right answers, wrong ones found."""

from pathlib import Path

import pytest

from bench.errors import WrongAnswerError
from bench.relaying import Relay, cheap_nodes, follow_delays_ms, read_history, relaying
from tests.relay.wire import T0, padded

NODES = 3
COUNT = 600


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    path = tmp_path / "flows.bin"
    path.write_bytes(b"".join(padded(str(number), T0 + number) for number in range(50)))
    return path


def test_histories_are_merged_in_order_and_counted(tmp_path: Path, flows: Path) -> None:
    socket = tmp_path / "peers.sock"
    arguments = ["--nodes", str(NODES), "--count", str(COUNT)]
    with cheap_nodes(flows, socket, *arguments), relaying(socket, nodes=NODES) as relay:
        read = read_history(relay, number=COUNT, expected=NODES * COUNT)
        assert (read.count, read.seconds > 0, read.relay_us >= 0) == (NODES * COUNT, True, True)
        with pytest.raises(WrongAnswerError, match=f"{NODES * COUNT} flows, expected 7"):
            read_history(relay, number=COUNT, expected=7)


def test_delays_are_those_of_the_nodes_that_speak(tmp_path: Path, flows: Path) -> None:
    socket = tmp_path / "peers.sock"
    arguments = ["--nodes", str(NODES), "--silent", "2", "--rate", "500"]
    with cheap_nodes(flows, socket, *arguments), relaying(socket, nodes=NODES) as relay:
        delays = follow_delays_ms(relay, seconds=0.3, settle_s=0.2)
    assert delays
    # the clock of nodes and reader is the same
    assert min(delays) >= 0


def test_a_relay_that_is_not_there_is_named() -> None:
    with pytest.raises(WrongAnswerError, match=r"connect to 127\.0\.0\.1:1"):
        read_history(Relay(target="127.0.0.1:1", pid=1), number=1, expected=1)
