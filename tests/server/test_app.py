"""What the process does between its parts."""

import gc
from collections.abc import Iterator

import pytest

from api.lane.health import Health
from server.app import _say_ready
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
