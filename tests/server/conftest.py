"""A node under test; what is gone is forgotten at once."""

import pytest

from tests.server.world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("server.endpoints.LINGER_S", 0.0)
    return World()
