"""Reading back what the encoder wrote."""

import struct

from api.lane.wire import Framed
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.encode import FlowEncoder
from observer.table.ring import FlowTable
from tests.observer.encode.reference import EMITTER, NODE_LABELS, NODE_NAME


def encoder_of(table: FlowTable) -> FlowEncoder:
    return FlowEncoder(
        table, table.interns, node_name=NODE_NAME, emitter=EMITTER, node_labels=NODE_LABELS
    )


def messages(framed: Framed) -> list[bytes]:
    """Split framed messages; their number must be the one that was told."""
    data, found, at = framed.data, [], 0
    while at < len(data):
        compressed, length = struct.unpack_from(">BI", data, at)
        assert compressed == 0
        found.append(data[at + 5 : at + 5 + length])
        at += 5 + length
    assert at == len(data)
    assert len(found) == framed.count
    return found


def responses(framed: Framed) -> list[GetFlowsResponse]:
    return [GetFlowsResponse.FromString(message) for message in messages(framed)]
