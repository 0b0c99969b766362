import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.proto.observer import observer_pb2
from bench.clients import Received, read_grpcio, read_lane, read_raw
from bench.errors import WrongAnswerError
from bench.expected import Expected
from bench.lines.filters import Question, check, verdict_question
from bench.node import replaying, serving
from bench.recorded import record

SAMPLES = 1_500
WAIT_S = 20.0
READERS: dict[str, Callable[[str, observer_pb2.GetFlowsRequest], Received]] = {
    "raw": read_raw,
    "lane": read_lane,
    "grpcio": read_grpcio,
}


def test_every_client_reads_the_recording_from_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record(tmp_path / "mix.rec", samples=SAMPLES)
    expected = Expected(recorded.batches)
    request = observer_pb2.GetFlowsRequest(number=1_000)
    with replaying(recorded.path) as node:
        node.wait_until_seen(recorded.rows_per_part)
        assert node.status().num_flows == recorded.rows_per_part
        received = {name: read(node.target, request) for name, read in READERS.items()}
        monkeypatch.setattr("bench.lines.filters._MATCHES", range(1, 5))
        check(node, verdict_question())
        with pytest.raises(WrongAnswerError, match="flows, 1500 of 1500 match"):
            check(node, Question(request=verdict_question().request, matches=lambda _: True))
        with pytest.raises(WrongAnswerError, match="first cannot be specified"):
            read_raw(node.target, observer_pb2.GetFlowsRequest(first=True, follow=True))
        assert node.usage().private_bytes > 1 << 20
    for each in received.values():
        assert each.messages is not None
        expected.check(each.messages, 1_000)
        assert each.messages == received["raw"].messages


KILLED = """
import sys
from pathlib import Path
from bench.node import replaying
with replaying(Path(sys.argv[1])) as node:
    print(node.pid, flush=True)
    sys.stdin.read()
"""


def test_a_server_ends_with_a_bench_that_is_killed(tmp_path: Path) -> None:
    recorded = record(tmp_path / "mix.rec", samples=SAMPLES)
    command = [sys.executable, "-c", KILLED, str(recorded.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stdout is not None
        server = int(bench.stdout.readline())
        ended = os.pidfd_open(server)
        try:
            bench.kill()
            readable, _, _ = select.select([ended], [], [], WAIT_S)
        finally:
            os.close(ended)
    assert readable


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.rec"
    broken.write_bytes(b"no recording")
    with pytest.raises(WrongAnswerError, match="recording"), replaying(broken):
        pass
    with (
        pytest.raises(WrongAnswerError, match="no-such-flag"),
        serving(["--no-such-flag"], folder=tmp_path),
    ):
        pass
