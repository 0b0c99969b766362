"""The Observer service of one node, as Hubble's clients and its relay know it.

Requests come from `api.lane`, answers from the flow table. Nothing here is done per flow: GetFlows
passes on what `observer.query` yields.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from api.lane.call import Call
from api.lane.status import Code, RpcError
from api.lane.wire import Framed
from api.proto.observer import observer_pb2 as pb
from api.version import STATUS_VERSION
from observer.encode import AgentEncoder, DebugEncoder, FlowEncoder
from observer.ledger import Ledger
from observer.namespaces import SeenNamespaces
from observer.query import FlowQuery, FlowRequest, InvalidQueryError, QueryError, flows_rate
from observer.query.progress import INTERVAL_S
from observer.readers import Readers
from observer.table.columns import EventKind
from observer.table.ring import FlowTable

DETAILS_KEY: Final = "leavitt-details"
"""Request metadata: `1` asks for leavitt.FlowDetails in Flow.extensions. Others never get it, since
an unknown Any makes the original command line's JSON output fail."""
PROGRESS_KEY: Final = "leavitt-progress"
"""Request metadata: `1` asks for messages with only time and node_name where nothing else was sent
for 10 ms: nothing older will follow. For relays; others take an empty response for a mistake."""
PROGRESS_INTERVAL_KEY: Final = "leavitt-progress-interval"
"""Request metadata: another time than 10 ms, in milliseconds, up to a second."""
_MOST_INTERVAL_MS: Final = 1_000

_NO_FLOWS: Final = (EventKind.LOST, EventKind.AGENT, EventKind.DEBUG)

HEALTH_NAME: Final = "hubble.server.Observer"


class ObserverService:
    """Implements observer.Observer; give it to `api.lane.service.service_methods`."""

    def __init__(
        self,
        *,
        table: FlowTable,
        encoder: FlowEncoder,
        ledger: Ledger,
        namespaces: SeenNamespaces,
        readers: Readers,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._table = table
        self._encoder = encoder
        self._ledger = ledger
        self._namespaces = namespaces
        self._readers = readers
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._started_ns = clock_ns()

    async def get_flows(
        self, call: Call, request: pb.GetFlowsRequest
    ) -> AsyncGenerator[Framed, None]:
        """Yield responses, batched; ends with the query or with the call."""
        try:
            query = FlowQuery.from_request(
                request,
                table=self._table,
                encoder=self._encoder,
                ledger=self._ledger,
                details=(DETAILS_KEY, "1") in call.metadata,
                progress=(PROGRESS_KEY, "1") in call.metadata,
                progress_interval_s=_progress_interval_s(call),
            )
        except InvalidQueryError as error:
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from error
        except QueryError as error:
            raise RpcError(Code.UNKNOWN, str(error)) from error
        # a client that follows a quiet node learns the version at once
        call.send_headers()
        try:
            with self._readers.reading(query):
                async with aclosing(query.run()) as batches:
                    async for batch in batches:
                        yield batch
        except QueryError as error:
            raise RpcError(Code.UNKNOWN, str(error)) from error

    async def get_agent_events(
        self, call: Call, request: pb.GetAgentEventsRequest
    ) -> AsyncGenerator[Framed, None]:
        """Yield what the agent did; `number` counts agent events, not rows of other kinds."""
        encoder = AgentEncoder(self._table, node_name=self._encoder.node_name)
        async with aclosing(
            self._events(call, lambda: FlowRequest.parse_agent(request), encoder)
        ) as batches:
            async for batch in batches:
                yield batch

    async def get_debug_events(
        self, call: Call, request: pb.GetDebugEventsRequest
    ) -> AsyncGenerator[Framed, None]:
        """Yield what the programs said of their steps, where that is switched on."""
        encoder = DebugEncoder(self._table, node_name=self._encoder.node_name)
        async with aclosing(
            self._events(call, lambda: FlowRequest.parse_debug(request), encoder)
        ) as batches:
            async for batch in batches:
                yield batch

    async def _events(
        self, call: Call, parse: Callable[[], FlowRequest], encoder: AgentEncoder | DebugEncoder
    ) -> AsyncGenerator[Framed, None]:
        try:
            parsed = parse()
        except InvalidQueryError as error:
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from error
        except QueryError as error:
            raise RpcError(Code.UNKNOWN, str(error)) from error
        call.send_headers()
        query = FlowQuery(
            parsed,
            table=self._table,
            encoder=encoder,
            ledger=self._ledger,
            progress=(PROGRESS_KEY, "1") in call.metadata,
            progress_interval_s=_progress_interval_s(call),
        )
        with self._readers.reading(query):
            async with aclosing(query.run()) as batches:
                async for batch in batches:
                    if batch.count:
                        yield batch

    async def server_status(
        self, _call: Call, _request: pb.ServerStatusRequest
    ) -> pb.ServerStatusResponse:
        """Say how full the table is, how fast it fills, and since when."""
        statistics = self._table.statistics()
        seen = sum(n for kind, n in statistics.appended.items() if kind not in _NO_FLOWS)
        return pb.ServerStatusResponse(
            num_flows=statistics.rows,
            max_flows=statistics.capacity,
            seen_flows=seen,
            uptime_ns=self._clock_ns() - self._started_ns,
            version=STATUS_VERSION,
            flows_rate=flows_rate(self._table, self._wall_ns()),
        )

    async def get_nodes(self, _call: Call, _request: pb.GetNodesRequest) -> pb.GetNodesResponse:
        """Refuse, as a Hubble server does: nodes are the relay's."""
        raise RpcError(Code.UNIMPLEMENTED, "GetNodes not implemented")

    async def get_namespaces(
        self, _call: Call, _request: pb.GetNamespacesRequest
    ) -> pb.GetNamespacesResponse:
        """List the namespaces seen in flows of the last hour."""
        return pb.GetNamespacesResponse(
            namespaces=[
                pb.Namespace(cluster=seen.cluster, namespace=seen.namespace)
                for seen in self._namespaces.seen()
            ]
        )


def _progress_interval_s(call: Call) -> float:
    """Read how often a caller wants to hear how far a stream is; nonsense is not read."""
    asked = dict(call.metadata).get(PROGRESS_INTERVAL_KEY)
    if not isinstance(asked, str) or not (asked.isascii() and asked.isdecimal()):
        return INTERVAL_S
    return max(min(int(asked[:9]), _MOST_INTERVAL_MS) / 1e3, INTERVAL_S)
