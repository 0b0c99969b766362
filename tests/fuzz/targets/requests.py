"""Any bytes as a client's GetFlowsRequest: answered, or refused with a text.

Input: the message on the wire. A request that is accepted is run over a small table; where it has
expressions they see the flows of it, and none may turn out to take long.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from google.protobuf.message import DecodeError

from api.proto.flow.flow_pb2 import EventTypeFilter, FlowFilter
from api.proto.observer.observer_pb2 import GetFlowsRequest
from observer.query.errors import QueryError
from observer.query.request import FlowRequest
from observer.samples import SAMPLE_BYTES
from tests.fuzz.node import Node
from tests.fuzz.targets.samples import batch_of
from tests.fuzz.targets.samples import seeds as samples

MOST_BYTES = 1024
FILTERS = (
    FlowFilter(source_pod=["default/xwing"], destination_ip=["10.0.0.0/8", "fd00::1"]),
    FlowFilter(
        source_label=["app in (x, y), !z, k8s:a=b", "k8s:app"],
        traffic_direction=["INGRESS", "EGRESS"],
    ),
    FlowFilter(
        verdict=["FORWARDED", "DROPPED"], event_type=[EventTypeFilter(type=4, match_sub_type=True)]
    ),
    FlowFilter(protocol=["tcp", "ICMPv4"], destination_port=["80", "53"], reply=[True]),
    FlowFilter(source_fqdn=["*.example.com"], node_name=["default/n", "*"]),
    FlowFilter(dns_query=["a+b*"], http_path=["/v1/.*"], http_status_code=["4+"]),
    FlowFilter(uuid=["00000000-0000-4000-8000-000000000000"], source_workload=[{"name": "xwing"}]),
    FlowFilter(
        experimental={"cel_expression": ["_flow.verdict == Verdict.DROPPED && _flow.reply"]},
        interface=[{"name": "lxc3"}],
        trace_id=["a"],
    ),
)
EXPRESSIONS = (
    "_flow.source.labels.exists(a, _flow.destination.labels.exists(b, a + b == 'x' + a))",
    "_flow.IP.source.matches('^10[.]([0-9]{1,3}[.]){2}[0-9]{1,3}$') || has(_flow.l4.UDP)",
    "['a', 'b'].map(a, a + a).map(a, [a, a]).all(a, a.size() == 2 && 'c' in a)",
    "timestamp('2024-01-01T00:00:00Z').getFullYear('Europe/Paris') == 2024 && _flow.uuid != ''",
    "{'a': [1, 2u]}.size() == 1 ? Endpoint{identity: 1u} == _flow.source : dyn(_flow) == 1.5",
    "string(int(_flow.l4.TCP.source_port)).contains('4') && !(b'x' < bytes(_flow.Summary))",
)


@cache
def _node() -> Node:
    node = Node()
    rows = b"".join(data[:SAMPLE_BYTES].ljust(SAMPLE_BYTES, b"\0") for _, data in samples())
    for at in range(0, len(rows), 8 * SAMPLE_BYTES):
        node.feed(batch_of(rows[at : at + 8 * SAMPLE_BYTES]))
    return node


def check(data: bytes) -> None:
    node = _node()
    try:
        message = GetFlowsRequest.FromString(data[:MOST_BYTES])
        request = FlowRequest.parse(
            message, node_name="default/n", node_labels=("a=b",), flows=node.flows
        )
    except DecodeError:
        return
    except QueryError as error:
        assert str(error)  # noqa: PT017 # refusing is one of two good ends
        return
    for segment in node.table.segments(node.table.oldest, node.table.head):
        mask = request.selection.mask(node.table, segment)
        assert mask.dtype == np.bool_
        assert len(mask) == segment.stop - segment.start
    node.answer(request.mask)


def seeds() -> Iterator[tuple[str, bytes]]:
    for number, each in enumerate(FILTERS):
        request = GetFlowsRequest(number=5, whitelist=[each], blacklist=[FILTERS[number - 1]])
        yield f"filter {number}", request.SerializeToString()
    for number, text in enumerate(EXPRESSIONS):
        wanted = FlowFilter(experimental={"cel_expression": [text]})
        yield f"expression {number}", GetFlowsRequest(whitelist=[wanted]).SerializeToString()
    masked = GetFlowsRequest(first=True)
    masked.field_mask.paths.extend(["time", "source.labels", "l4.TCP", "IP"])
    masked.since.seconds = 1_700_000_000
    yield "masked", masked.SerializeToString()
