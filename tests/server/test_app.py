"""What the process does between its parts."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.lane.health import Health
from server.app import _say_ready, serve
from server.settings import Settings


@pytest.fixture
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("thawed")
def test_the_collector_leaves_alone_what_is_there_when_the_server_is_ready() -> None:
    kept = [[number] for number in range(1000)]
    gc.disable()
    _say_ready(Settings(node_name="x"), Health())
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)


def test_a_thread_keeps_the_loop_waiting_for_less_than_a_step(tmp_path: Path) -> None:
    turn_s, threshold = sys.getswitchinterval(), gc.get_threshold()
    try:
        # that there is nothing to replay is found out after this
        assert serve(["--replay", str(tmp_path / "none.rec"), "--node-name", "x"], {}) == 1
        assert sys.getswitchinterval() < 0.002
    finally:
        sys.setswitchinterval(turn_s)
        gc.set_threshold(*threshold)
