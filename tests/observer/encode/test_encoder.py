"""Encoded rows, decoded by protobuf, equal what the slow reference builds."""

import struct

import numpy as np
import pytest

from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.encode import FlowEncoder
from observer.table.ring import FlowTable
from tests.observer.encode.reference import EMITTER, NODE_LABELS, NODE_NAME, response_of
from tests.observer.encode.rows import fill, new_table


def encoder_of(table: FlowTable) -> FlowEncoder:
    return FlowEncoder(
        table, table.interns, node_name=NODE_NAME, emitter=EMITTER, node_labels=NODE_LABELS
    )


def decode(data: bytes) -> list[GetFlowsResponse]:
    responses, at = [], 0
    while at < len(data):
        compressed, length = struct.unpack_from(">BI", data, at)
        assert compressed == 0
        responses.append(GetFlowsResponse.FromString(data[at + 5 : at + 5 + length]))
        at += 5 + length
    assert at == len(data)
    return responses


def repack(response: GetFlowsResponse) -> None:
    """Write the extension again: ours has varints of fixed width, an Any compares bytes."""
    details = FlowDetails()
    assert response.flow.extensions.Unpack(details)
    response.flow.extensions.Pack(details)


@pytest.mark.parametrize("details", [False, True], ids=["plain", "details"])
@pytest.mark.parametrize("seed", range(4))
def test_rows_of_every_kind_become_the_flows_that_hubble_gives(seed: int, details: bool) -> None:
    table = new_table()
    fill(table, 600, seed)
    encoder = encoder_of(table)
    positions = np.arange(table.oldest, table.head)
    framed = encoder.encode(positions, paths=None, details=details)
    responses = decode(framed.data)
    assert framed.count == len(responses) == len(positions)
    for position, response in zip(positions.tolist(), responses, strict=True):
        if details and response.HasField("flow"):
            repack(response)
        assert response == response_of(table, position, details=details)
