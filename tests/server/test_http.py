"""The HTTP endpoint, over real connections."""

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.errors import ServerError
from server.http import serve_metrics
from server.node import build_node
from server.settings import Settings

OPEN = {"Accept": "application/openmetrics-text; version=1.0.0"}
SERIES = 20_000


async def test_formats_and_health() -> None:
    node = build_node(Settings(node_name="n1", metrics="drop"))
    async with (
        serve_metrics("127.0.0.1:0", node.metrics, is_open=True) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
    ):
        async with client.get("/healthz") as reply:
            assert (reply.status, await reply.text()) == (200, "ok\n")
        async with client.get("/metrics") as reply:
            assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "leavitt_table_rows 0" in await reply.text()
        async with client.get("/metrics", headers=OPEN) as reply:
            assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await reply.text()).endswith("# EOF\n")
        async with client.get("/elsewhere") as reply:
            assert reply.status == 404


async def test_open_metrics_only_where_it_is_switched_on() -> None:
    node = build_node(Settings(node_name="n1"))
    async with (
        serve_metrics("127.0.0.1:0", node.metrics, is_open=False) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
        client.get("/metrics", headers=OPEN) as reply,
    ):
        assert reply.headers["Content-Type"].startswith("text/plain")


async def test_the_loop_goes_on_during_a_long_scrape() -> None:
    node = build_node(Settings(node_name="n1", metrics="drop:sourceContext=pod"))
    (metric,) = node.metrics.metrics
    metric._most = SERIES
    for number in range(SERIES):
        metric.series((f"default/pod-{number}", "POLICY_DENIED", "TCP")).value = number
    passes = 0
    done = asyncio.Event()

    async def others() -> None:
        nonlocal passes
        while not done.is_set():
            passes += 1
            await asyncio.sleep(0)

    async with (
        asyncio.TaskGroup() as tasks,
        serve_metrics("127.0.0.1:0", node.metrics, is_open=False) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
    ):
        tasks.create_task(others())
        async with client.get("/metrics") as reply:
            text = await reply.text()
        done.set()
    (family,) = [
        each for each in text_string_to_metric_families(text) if each.name == "hubble_drop"
    ]
    assert sum(sample.value for sample in family.samples) == SERIES * (SERIES - 1) // 2
    assert passes > SERIES // 500


async def test_an_address_that_is_taken_is_named() -> None:
    node = build_node(Settings(node_name="n1"))
    async with serve_metrics("127.0.0.1:0", node.metrics, is_open=False) as address:
        with pytest.raises(ServerError, match=address):
            async with serve_metrics(address, node.metrics, is_open=False):
                pass
