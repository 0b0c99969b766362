"""JSON lines to messages: the quick way, the careful way, and lines that are neither."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.decode.flows_json import LineError, ResponseReader
from tests.observer.filters.test_reference import FLOWS

if TYPE_CHECKING:
    from google.protobuf.message import Message

RESPONSES = [GetFlowsResponse(flow=flow, node_name=flow.node_name) for flow in FLOWS]
L7 = json_format.ParseDict(
    {
        "time": "2026-03-04T05:06:07.000000001Z",
        "is_reply": True,
        "l7": {
            "type": "RESPONSE",
            "latency_ns": "3000000",
            "http": {"code": 200, "method": "GET", "headers": [{"key": "a", "value": "b"}]},
        },
        "ip_trace_id": {"trace_id": "18446744073709551615", "ip_option_type": 1},
        "socket_cookie": "7",
        "cgroup_id": "8",
    },
    Flow(),
)
RESPONSES.append(GetFlowsResponse(flow=L7))


def line_of(message: Message, *, names_of_the_proto: bool) -> bytes:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=names_of_the_proto, indent=None
    ).encode()


@pytest.mark.parametrize("names_of_the_proto", [True, False])
def test_reads_what_was_written(names_of_the_proto: bool) -> None:
    reader = ResponseReader()
    for response in RESPONSES:
        assert reader.read(line_of(response, names_of_the_proto=names_of_the_proto)) == response
    assert not reader.unknown


@pytest.mark.parametrize(
    "text",
    [
        '{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"5","cpu":3}}',
        '{"lost_events":{"first":"2026-03-04T05:06:07Z"},"time":"2026-03-04T05:06:07.5Z"}',
        '{"node_status":{"state_change":"NODE_ERROR","node_names":["a"],"message":"x"}}',
        '{"flow":{"time":"2026-03-04T07:06:07+02:00"}}',
        '{"flow":{"time":"1969-12-31T23:59:59.999Z"}}',
        '{"flow":{"verdict":77,"event_type":{"type":4,"sub_type":-3}}}',
        '{"flow":{"l4":{"TCP":{"source_port":"80","flags":{"SYN":true}}}}}',
        '{"flow":{"l4":{"UDP":{"source_port":80.0}}}}',
        '{"flow":{"is_reply":null,"source":null,"source_names":null,"Summary":null}}',
        '{"flow":{"is_reply":false}}',
        '{"flow":{"source_names":["a","b"]}}',
        '{"flow":{}}',
        '{"flow":null}',
        "{}",
        '{"node_name":"n"}',
        ' {"flow":{"Summary":"crlf"}} \r',
    ],
)
def test_reads_as_protobuf_does(text: str) -> None:
    reader = ResponseReader()
    assert reader.read(text.encode()) == json_format.Parse(text, GetFlowsResponse())
    assert not reader.unknown


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "syntax error"),
        (b"   ", "syntax error"),
        (b"not json", "syntax error"),
        (b'{"flow":{"Summary":"bad\xff"}}', "syntax error"),
        (b'{"flow":{"Summary":"nul\x00"}}', "syntax error"),
        (b'\xef\xbb\xbf{"flow":{}}', "syntax error"),
        (b'{"flow":{}} {"flow":{}}', "syntax error"),
        (b'{"flow":{"policy_match_type":NaN}}', "syntax error"),
        (b"[]", "syntax error (not an object)"),
        (b"null", "syntax error (not an object)"),
        (b'{"flow":[1]}', "Failed to parse"),
        (b'{"flow":{"Summary":5}}', "Failed to parse Summary field"),
        (b'{"flow":{"source_names":"abc"}}', "Failed to parse source_names field"),
        (b'{"flow":{"time":"bad"}}', "Failed to parse time field"),
        (b'{"flow":{"time":"2026-13-04T05:06:07Z"}}', "Failed to parse time field"),
        (b'{"flow":{"time":7}}', "Failed to parse time field"),
        (b'{"flow":{"is_reply":"x"}}', "Failed to parse is_reply field"),
        (b'{"flow":{"l4":{"TCP":{"source_port":80.5}}}}', "Failed to parse l4 field"),
        (b'{"flow":{"l4":{"TCP":{"source_port":-1}}}}', "Failed to parse l4 field"),
        (b'{"flow":{"l4":{"TCP":{},"UDP":{}}}}', "Failed to parse"),
        (b'{"flow":{},"lost_events":{}}', "Message type"),
        (b'{"flow":{"socket_cookie":"x"}}', "Failed to parse socket_cookie field"),
        (b"[" * 100_000, "syntax error"),
    ],
)
def test_refuses(line: bytes, reason: str) -> None:
    reader = ResponseReader()
    with pytest.raises(LineError) as caught:
        reader.read(line)
    assert str(caught.value).startswith(reason)
    assert not reader.unknown


@pytest.mark.parametrize(
    "text",
    [
        '{"flow":{"bogus":{"a":[1]},"Summary":"x"}}',
        '{"flow":{"verdict":"BOGUS","Summary":"x"}}',
        '{"bogus":1,"flow":{"Summary":"x"}}',
    ],
)
def test_what_is_not_known_is_left_out_from_then_on(text: str) -> None:
    reader = ResponseReader()
    wanted = GetFlowsResponse(flow=Flow(Summary="x"))
    assert reader.read(text.encode()) == wanted
    first = reader.unknown
    assert first
    other = '{"flow":{"other":1,"traffic_direction":"SIDEWAYS","Summary":"x"}}'
    assert reader.read(other.encode()) == wanted
    assert reader.unknown == first
    with pytest.raises(LineError):
        reader.read(b'{"flow":{"other":1,"Summary":5}}')


def test_unknown_and_wrong_is_wrong() -> None:
    reader = ResponseReader()
    with pytest.raises(LineError):
        reader.read(b'{"flow":{"bogus":1,"Summary":5}}')
    assert not reader.unknown


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 66) | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = st.sampled_from([field.name for field in Flow.DESCRIPTOR.fields])


@given(st.dictionaries(FIELDS, VALUES, max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_value_of_any_field_is_read_or_refused(fields: dict[str, Any]) -> None:
    text = json.dumps({"flow": fields})
    try:
        response = ResponseReader().read(text.encode())
    except LineError:
        return
    assert response.IsInitialized()


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    with contextlib.suppress(LineError):
        ResponseReader().read(line)
