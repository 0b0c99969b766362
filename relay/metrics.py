"""What Prometheus may ask of a relay: its connections, its nodes, its calls, its process.

Names of the first and of the calls are those of Hubble's relay. The registry and the page are made
only where an address is given: what they import takes longer than all the rest to start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from api.lane.address import TcpAddress, parse_address
from api.lane.status import Code, RpcError
from relay.errors import RelayError
from relay.nodes.link import LinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from prometheus_client.core import Metric

    from api.lane.call import Call, Method
    from relay.nodes.pool import NodePool

_CALL_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")


def relay_registry(pool: NodePool, wall_ns: Callable[[], int]) -> CollectorRegistry:
    """Make the registry of a process: its nodes, and what it takes of the machine."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(pool, wall_ns))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class NodeCollector(Collector):
    """Tells of nodes as they are when it is asked."""

    def __init__(self, pool: NodePool, wall_ns: Callable[[], int]) -> None:
        self._pool = pool
        self._wall_ns = wall_ns

    def collect(self) -> Iterable[Metric]:
        """Give connections by state, and the account of each node."""
        links = self._pool.links
        states = GaugeMetricFamily(
            "hubble_relay_pool_peer_connection_status",
            "Connections to nodes by state.",
            labels=["status"],
        )
        for state in LinkState:
            states.add_metric([state.value], sum(link.state == state for link in links))
        yield states
        yield self._counter("flows", "Messages with flows from a node.", "flows_received")
        yield self._counter("lost_events", "Events lost at a node.", "lost_events")
        yield self._counter("reconnects", "Connections made after one was lost.", "reconnects")
        lag = GaugeMetricFamily(
            "leavitt_relay_node_lag_seconds",
            "How far a node is behind the clock in the streams that follow.",
            labels=["node"],
        )
        for link in links:
            lag_ns = link.account.lag_ns(self._wall_ns())
            if lag_ns is not None:
                lag.add_metric([link.name], lag_ns / 1e9)
        yield lag

    def _counter(self, name: str, text: str, field: str) -> CounterMetricFamily:
        family = CounterMetricFamily(f"leavitt_relay_node_{name}", text, labels=["node"])
        for link in self._pool.links:
            family.add_metric([link.name], getattr(link.account, field))
        return family


def counted(
    methods: Mapping[str, Method],
    services: Iterable[ServiceDescriptor],
    registry: CollectorRegistry,
) -> dict[str, Method]:
    """Return methods that count their calls; those of other services are passed through."""
    started = Counter(
        "grpc_server_started", "Calls that were begun.", _CALL_LABELS, registry=registry
    )
    handled = Counter(
        "grpc_server_handled",
        "Calls that have ended, by code.",
        (*_CALL_LABELS, "grpc_code"),
        registry=registry,
    )
    found = dict(methods)
    for path, labels in _labels(services):
        if path in found:
            found[path] = _counting(found[path], labels, started, handled)
    return found


def _labels(services: Iterable[ServiceDescriptor]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for service in services:
        for rpc in service.methods:
            labels = (_type(rpc), service.full_name, rpc.name)
            yield f"/{service.full_name}/{rpc.name}", labels


def _type(rpc: MethodDescriptor) -> str:
    if rpc.client_streaming:
        return "bidi_stream" if rpc.server_streaming else "client_stream"
    return "server_stream" if rpc.server_streaming else "unary"


def _counting(
    method: Method, labels: tuple[str, str, str], started: Counter, handled: Counter
) -> Method:
    async def run(call: Call) -> None:
        started.labels(*labels).inc()
        code = Code.UNKNOWN
        try:
            await method(call)
            code = Code.OK
        except RpcError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        finally:
            handled.labels(*labels, code.go_name).inc()

    return run


async def serve_metrics(address: str, registry: CollectorRegistry) -> web.AppRunner:
    """Serve `/metrics`; `cleanup` of what is returned ends it.

    Raises:
        RelayError: the address cannot be used.
    """

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    parsed = parse_address(address)
    if not isinstance(parsed, TcpAddress):
        raise RelayError(f"listen on {address}: metrics need a TCP address")
    page = web.Application()
    page.router.add_get("/metrics", answer)
    runner = web.AppRunner(page, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, parsed.host or None, parsed.port).start()
    except OSError as error:
        await runner.cleanup()
        raise RelayError(f"listen on {address}: {error.strerror or error}") from error
    return runner
