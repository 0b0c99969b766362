from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from lab.deathstar import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def station() -> AsyncIterator[Client]:
    async with TestClient(TestServer(application("ds-1"))) as client:
        yield client


async def test_describes_itself(station: Client) -> None:
    answer = await station.get("/v1/")

    about = await answer.json()
    assert (about["name"], about["hostname"]) == ("Death Star", "ds-1")
    assert "POST /v1/request-landing" in about["routes"]


async def test_lets_ships_land(station: Client) -> None:
    answer = await station.post("/v1/request-landing")

    assert (answer.status, await answer.text()) == (200, "Ship landed\n")


async def test_explodes_and_goes_on(station: Client) -> None:
    answer = await station.put("/v1/exhaust-port")

    assert answer.status == 500
    assert (await answer.text()).startswith("Panic: deathstar exploded\n")
    assert (await station.post("/v1/request-landing")).status == 200
