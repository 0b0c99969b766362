"""JSON from wire bytes against protobuf's own JSON, over messages of all shapes."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import AgentEvent, Flow, FlowFilter
from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer.observer_pb2 import (
    ExportEvent,
    GetFlowsResponse,
    GetNodesResponse,
    ServerStatusResponse,
)
from cli.wirejson.flows import FlowLines
from cli.wirejson.writer import Writers
from tests.cli.wireorders import ORDERS, encoded, ordinary, shuffled

# upb's descriptors are not of the types declared for them, hence Any.
STRINGS = ("", "x", "10.0.0.1", "<a>&\"\\'\n\r\t\x00\x1f\x7f", "é\u2028\u2029🐝", "k8s:app=x")
MESSAGES = (GetFlowsResponse, FlowFilter, ServerStatusResponse, GetNodesResponse, ExportEvent)


def fill(message: Message, rng: random.Random, depth: int = 0) -> None:
    """Set a random half of the fields, to edge values mostly; of a oneof the last one set wins."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.5 or depth > 5:
            continue
        if field.message_type is not None:
            fill_message(message, field, rng, depth)
        elif field.is_repeated:
            values = [scalar(field, rng) for _ in range(rng.randint(1, 3))]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, scalar(field, rng))


def fill_message(message: Any, field: Any, rng: random.Random, depth: int) -> None:  # noqa: ANN401
    if field.message_type.full_name == "google.protobuf.Any":
        message.extensions.Pack(FlowDetails(bytes=rng.getrandbits(40), packets=3))
    elif field.message_type.full_name == "google.protobuf.Timestamp":
        moment = getattr(message, field.name)
        moment.seconds = rng.choice((0, 1_772_600_767, -62_135_596_800, 253_402_300_799))
        moment.nanos = rng.choice((0, 1, 1_000, 1_000_000, 999_999_999, 120_000_000))
    elif field.is_repeated:
        for _ in range(rng.randint(1, 3)):
            fill(getattr(message, field.name).add(), rng, depth + 1)
    else:
        inner = getattr(message, field.name)
        inner.SetInParent()
        fill(inner, rng, depth + 1)


def scalar(field: Any, rng: random.Random) -> object:  # noqa: ANN401
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return rng.choice(STRINGS)
        case FieldDescriptor.TYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.TYPE_ENUM:
            return rng.choice((0, 1, 2, 77, -1))
        case FieldDescriptor.TYPE_DOUBLE:
            return rng.choice((0.0, 1.5, 1e21, 1e-7, float("inf"), 123456789.0, -0.25))
        case FieldDescriptor.TYPE_INT32 | FieldDescriptor.TYPE_INT64:
            return rng.choice((0, 1, -1, -(1 << 31), (1 << 31) - 1, 127, 128))
        case FieldDescriptor.TYPE_UINT32:
            return rng.choice((0, 1, 127, 128, 16384, (1 << 32) - 1))
        case _:
            return rng.choice((0, 1, (1 << 64) - 1, 300))


def expected(message: Message) -> object:
    return json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))


def keys_in_order(value: object, message: Message, path: str = "") -> None:
    """Check that keys come as the .proto declares the fields."""
    if not isinstance(value, dict) or "@type" in value:
        return
    declared = [field.name for field in message.DESCRIPTOR.fields]
    assert list(value) == [name for name in declared if name in value], path
    for name, inner in value.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if isinstance(inner, dict):
            keys_in_order(inner, getattr(message, name), f"{path}.{name}")
        elif isinstance(inner, list) and field.message_type is not None:
            for one, two in zip(inner, getattr(message, name), strict=True):
                keys_in_order(one, two, f"{path}.{name}")


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.DESCRIPTOR.name)
@given(seed=st.integers(0, 1 << 32))
def test_says_what_protobuf_says_in_the_order_of_declaration(
    kind: type[Message], seed: int
) -> None:
    message = kind()
    fill(message, random.Random(seed))
    text = Writers().of(kind.DESCRIPTOR)(message.SerializeToString())
    assert json.loads(text) == expected(message)
    keys_in_order(json.loads(text), message)
    assert not set(text) & set("<>&\n\r\u2028\u2029")


def make_ordinary(flow: Flow, rng: random.Random) -> None:
    flow.uuid = rng.choice(("00000000-0000-4000-8000-00000000002a", "<odd>"))
    flow.ethernet.source, flow.ethernet.destination = "02:00:00:00:00:01", "02:00:00:00:00:02"
    flow.IP.source, flow.IP.destination = "10.0.0.1", rng.choice(("fd00::2", '"'))
    flow.event_type.type = rng.choice((1, 4, 5))
    ports = rng.choice(((40123, 80), (0, 80), (1, 0)))
    ends = rng.choice((flow.l4.TCP, flow.l4.UDP))
    ends.source_port, ends.destination_port = ports


# Texts kept from one example must not leak into the next. Whoever met Go's order once stays with
# what is quick there, so each order has its own.
LINES = {order: FlowLines() for order in (*ORDERS, "any")}
WALK = Writers().of(GetFlowsResponse.DESCRIPTOR)


def line(data: bytes, lines: FlowLines = LINES["any"]) -> str:
    """Write a response as a line."""
    return b"".join(lines.pieces([data], lambda each: [f"{lines.any(each)}\n".encode()])).decode()


def short(data: bytes, lines: FlowLines = LINES["any"]) -> str:
    """Write a response the short way; nothing where that is for others."""
    return b"".join(lines.pieces([data], lambda _: [])).decode()


@given(seed=st.integers(0, 1 << 32), ordinary=st.booleans())
def test_the_fast_way_writes_the_same_to_the_letter(seed: int, ordinary: bool) -> None:
    rng = random.Random(seed)
    response = GetFlowsResponse()
    fill(response, rng)
    response.flow.SetInParent()
    fill(response.flow, rng)
    if ordinary:  # what the shortcuts are for, among odd values elsewhere
        make_ordinary(response.flow, rng)
    data = response.SerializeToString()
    assert line(data) == WALK(data) + "\n"


@given(seed=st.integers(0, 1 << 32))
def test_the_fast_way_does_not_depend_on_the_order_of_fields(seed: int) -> None:
    rng = random.Random(seed)
    response = ordinary(rng)
    expected = WALK(response.SerializeToString()) + "\n"
    assert line(shuffled(response, rng)) == expected
    for order in ORDERS:
        data = encoded(response, order)
        assert line(data, LINES[order]) == expected
        assert short(data, LINES[order]) in ("", expected)


@given(seed=st.integers(0, 1 << 32), order=st.sampled_from(ORDERS))
def test_a_batch_says_what_its_responses_say(seed: int, order: str) -> None:
    rng, lines = random.Random(seed), LINES[order]
    batch = [encoded(ordinary(rng), order) for _ in range(6)] * 2
    text = b"".join(lines.pieces(batch, lambda each: [f"{lines.any(each)}\n".encode()]))
    assert text.decode() == "".join(f"{WALK(data)}\n" for data in batch)


@pytest.mark.parametrize("order", ["ours", "go"])
def test_ordinary_flows_take_the_fast_way(order: str) -> None:
    rng = random.Random(7)
    taken = [short(encoded(ordinary(rng), order), LINES[order]) != "" for _ in range(300)]
    assert sum(taken) > 60


@given(seed=st.integers(0, 1 << 32), at=st.floats(0, 1), flip=st.integers(1, 255))
def test_changed_bytes_say_what_the_walk_says(seed: int, at: float, flip: int) -> None:
    data = bytearray(encoded(ordinary(random.Random(seed)), "ours"))
    data[int(at * (len(data) - 1))] ^= flip
    assert outcome(lambda each: line(each, LINES["ours"]), bytes(data)) == outcome(
        WALK, bytes(data)
    )


def outcome(write: Callable[[bytes], str], data: bytes) -> str:
    try:
        return write(data).removesuffix("\n")
    except DecodeError:
        return "refused"


@given(seed=st.integers(0, 1 << 32), cut=st.floats(0, 1), flip=st.integers(0, 255))
def test_bytes_that_are_no_message_raise_decode_error_only(
    seed: int, cut: float, flip: int
) -> None:
    message = GetFlowsResponse()
    fill(message, random.Random(seed))
    data = bytearray(message.SerializeToString())
    if data:
        data[int(cut * (len(data) - 1))] ^= flip
    for broken in (bytes(data), bytes(data[: int(cut * len(data))])):
        for write in (WALK, line):
            try:
                json.loads(write(broken))
            except DecodeError:
                continue


@pytest.fixture(params=["walk", "fast"])
def write(request: pytest.FixtureRequest) -> Callable[[bytes], str]:
    return WALK if request.param == "walk" else lambda data: line(data, FlowLines())[:-1]


UNUSUAL = {
    "scalar twice, the last counts": (
        b"\x0a\x04\x10\x01\x10\x02",
        '{"flow":{"verdict":"DROPPED"}}',
    ),
    "message twice, both count": (
        b"\x0a\x04\x10\x02\x18\x03\x0a\x02\x18\x04",
        '{"flow":{"verdict":"DROPPED","drop_reason":4}}',
    ),
    "oneof twice, the last counts": (
        b"\x0a\x02\x10\x01\x1a\x02\x10\x05",
        '{"lost_events":{"num_events_lost":"5"}}',
    ),
    "length in more bytes than needed": (
        b"\x0a\x82\x80\x80\x00\x10\x02",
        '{"flow":{"verdict":"DROPPED"}}',
    ),
    "unknown fields of each wire type": (
        b"\x0a\x02\x10\x02" + b"\x20\x05" + b"\x2a\x01x" + b"\x31" + bytes(8) + b"\x35" + bytes(4),
        '{"flow":{"verdict":"DROPPED"}}',
    ),
    "unknown group": (b"\x0a\x02\x10\x02\x23\x20\x01\x24", '{"flow":{"verdict":"DROPPED"}}'),
    "explicit zero": (b"\x0a\x04\x10\x00\x18\x00", '{"flow":{}}'),
    "known field of another wire type": (b"\x0a\x03\x12\x01x", '{"flow":{}}'),
}


@pytest.mark.parametrize(("data", "text"), UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_but_valid_bytes(write: Callable[[bytes], str], data: bytes, text: str) -> None:
    assert write(data) == text


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x0a\x05", b"\x0a\x02\x10", b"\xff" * 11, b"\x0a\x04\x92\x02\x01\xff"],
    ids=["no length", "no payload", "no value", "endless varint", "no UTF-8"],
)
def test_broken_bytes(write: Callable[[bytes], str], data: bytes) -> None:
    with pytest.raises(DecodeError):
        write(data)


def test_packed_and_single_lists_read_the_same() -> None:
    write = Writers().of(FlowFilter.DESCRIPTOR)
    packed, single = b"\x2a\x02\x01\x02", b"\x28\x01\x28\x02"
    assert write(packed) == write(single) == '{"verdict":["FORWARDED","DROPPED"]}'


def test_time_out_of_range_is_refused(write: Callable[[bytes], str]) -> None:
    response = GetFlowsResponse(flow=Flow())
    response.flow.time.nanos = -1
    with pytest.raises(DecodeError, match="out of range"):
        write(response.SerializeToString())


def test_any_of_an_unknown_type_keeps_its_bytes() -> None:
    flow = Flow()
    flow.extensions.type_url = "type.googleapis.com/example.Unknown"
    flow.extensions.value = b"\x01\x02"
    text = Writers().of(Flow.DESCRIPTOR)(flow.SerializeToString())
    assert text == ('{"extensions":{"@type":"type.googleapis.com/example.Unknown","value":"AQI="}}')


def test_any_of_a_known_type_shows_its_fields() -> None:
    flow = Flow()
    flow.extensions.Pack(FlowDetails(bytes=70, packets=1))
    text = Writers().of(Flow.DESCRIPTOR)(flow.SerializeToString())
    assert text == (
        '{"extensions":{"@type":"type.googleapis.com/leavitt.FlowDetails",'
        '"bytes":"70","packets":1}}'
    )


def test_values_wrapped_for_presence() -> None:
    event = AgentEvent()
    event.ipcache_update.old_identity.SetInParent()
    text = Writers().of(AgentEvent.DESCRIPTOR)(event.SerializeToString())
    assert text == '{"ipcache_update":{"old_identity":0}}'


def test_kept_texts_are_bounded() -> None:
    lines = FlowLines()
    for number in range(20_000):
        flow = Flow(cgroup_id=number, node_name=str(number))
        flow.source.ID = number
        line(GetFlowsResponse(flow=flow, node_name=str(number)).SerializeToString(), lines)
    assert len(lines._segments) <= 8192
    assert len(lines._endpoint) <= 8192
    assert len(lines._node_name) <= 8192
