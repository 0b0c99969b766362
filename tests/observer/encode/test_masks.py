"""Field masks: every path of a flow gives what a slow mask over the whole flow gives."""

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.encode import FieldMask, FieldMaskError
from tests.observer.encode.reference import response_of
from tests.observer.encode.rows import fill, new_table
from tests.observer.encode.wire import encoder_of, responses

CLI_MASK = [
    "time",
    "verdict",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "Type",
    "node_name",
    "l7",
    "event_type",
    "source_service",
    "destination_service",
    "is_reply",
    "Summary",
    "ip_trace_id",
]


def paths_of(message: Any, depth: int = 3) -> list[str]:  # noqa: ANN401 # of either type
    found = []
    for field in message.fields:
        found.append(field.name)
        if field.message_type and not field.is_repeated and depth > 1:
            found += [f"{field.name}.{path}" for path in paths_of(field.message_type, depth - 1)]
    return found


ALL_PATHS = paths_of(Flow.DESCRIPTOR)
TABLE = new_table()
fill(TABLE, 250, 11)
ENCODER = encoder_of(TABLE)


def masked(flow: Flow, paths: list[str]) -> Flow:
    """Copy the paths one by one, as the API describes it."""
    out = Flow()
    for path in paths:
        _copy(flow, out, path.split("."))
    return out


def _copy(source: Message, target: Message, names: list[str]) -> None:
    name, *rest = names
    field = source.DESCRIPTOR.fields_by_name[name]
    if rest:
        if field.containing_oneof is None or source.HasField(name):
            getattr(target, name).SetInParent()
            _copy(getattr(source, name), getattr(target, name), rest)
    elif field.is_repeated:
        del getattr(target, name)[:]
        getattr(target, name).extend(getattr(source, name))
    elif field.message_type:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))
    else:
        setattr(target, name, getattr(source, name))


def check(paths: list[str], positions: np.ndarray) -> None:
    framed = ENCODER.encode(positions, paths=FieldMask.from_paths(paths), details=False)
    for position, response in zip(positions.tolist(), responses(framed), strict=True):
        expected = response_of(TABLE, position)
        if expected.HasField("flow"):
            flow = masked(expected.flow, paths)
            expected = GetFlowsResponse(flow=flow, node_name=flow.node_name)
            if flow.HasField("time"):
                expected.time.CopyFrom(flow.time)
        assert response == expected, paths


@pytest.mark.parametrize("path", ALL_PATHS)
def test_each_path_alone(path: str) -> None:
    check([path], np.arange(0, 250, 5))


def test_the_mask_of_the_command_line() -> None:
    check(CLI_MASK, np.arange(250))


@given(
    paths=st.lists(st.sampled_from(ALL_PATHS), min_size=1, max_size=8),
    start=st.integers(0, 240),
)
@settings(max_examples=60, deadline=None)
def test_paths_together(paths: list[str], start: int) -> None:
    # A whole field and a part of it: the whole one counts.
    paths = [p for p in paths if not any(p.startswith(q + ".") for q in paths)]
    check(paths, np.arange(start, start + 10))


def test_a_path_inside_of_another_adds_nothing() -> None:
    whole = FieldMask.from_paths(["source"])
    assert FieldMask.from_paths(["source.identity", "source", "source.labels"]) == whole


def test_the_order_of_paths_does_not_matter() -> None:
    assert FieldMask.from_paths(["l4", "IP"]) == FieldMask.from_paths(["IP", "l4"])


def test_no_paths_ask_for_everything() -> None:
    assert FieldMask.from_paths([]) is None


@pytest.mark.parametrize(
    "path",
    [
        "nope",
        "source.nope",
        "nodeName",
        "verdict.value",
        "source_names.x",
        "source.labels.x",
        "source.",
        ".source",
        "",
        "l4.TCP.flags.SYN.x",
        "l4\0",
        "source\0x.labels",
    ],
)
def test_a_path_that_no_flow_has_is_refused_by_name(path: str) -> None:
    with pytest.raises(FieldMaskError) as caught:
        FieldMask.from_paths(["verdict", path])
    assert str(caught.value) == f'proto: invalid path "{path}" for message "flow.Flow"'


def test_many_masks_in_turn_are_each_answered_rightly() -> None:
    for _ in range(2):
        for path in ("uuid", "source", "destination.pod_name", "l4", "Summary", "interface.index"):
            check([path], np.arange(20))
