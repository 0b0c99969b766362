"""The generated modules against `contract.txt`, a table of the whole wire contract.

The table was made from the Hubble API itself, not from our .proto files. Its order is the order of
declaration, which JSON output follows, so order is compared too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    ServiceDescriptor,
)

from api.proto.flow import flow_pb2
from api.proto.health import health_pb2
from api.proto.leavitt import flow_details_pb2, node_pb2, policy_pb2
from api.proto.leavitt import relay_pb2 as leavitt_relay_pb2
from api.proto.observer import observer_pb2
from api.proto.peer import peer_pb2
from api.proto.relay import relay_pb2

FILES: tuple[FileDescriptor, ...] = (
    flow_pb2.DESCRIPTOR,
    observer_pb2.DESCRIPTOR,
    peer_pb2.DESCRIPTOR,
    relay_pb2.DESCRIPTOR,
    flow_details_pb2.DESCRIPTOR,
    node_pb2.DESCRIPTOR,
    policy_pb2.DESCRIPTOR,
    leavitt_relay_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
)
SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
}


def blocks(text: str) -> dict[str, str]:
    """Split a table into its blocks, by their first lines without a mark of deprecation."""
    return {
        block.partition("\n")[0].removesuffix(" deprecated"): block
        for block in text.strip().split("\n\n")
    }


def deprecated(
    options: descriptor_pb2.MessageOptions
    | descriptor_pb2.FieldOptions
    | descriptor_pb2.EnumValueOptions,
) -> str:
    return " deprecated" if options.deprecated else ""


def spans(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Render reserved numbers, both ends included."""
    shown = " ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)
    return [f"  reserved {shown}"] if shown else []


def render_file(file: FileDescriptor) -> str:
    raw = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(raw)
    imports = [
        f"  import {'public ' if index in raw.public_dependency else ''}{name}"
        for index, name in enumerate(raw.dependency)
    ]
    return "\n".join([f"file {file.name} package {file.package}", *imports])


def render_field(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        type_name = field.message_type.full_name
    elif field.enum_type is not None:
        type_name = field.enum_type.full_name
    else:
        type_name = SCALARS[field.type]
    label = "repeated " if field.is_repeated else ""
    oneof = f" oneof {field.containing_oneof.name}" if field.containing_oneof else ""
    options = deprecated(field.GetOptions())
    return f"  {field.number} {field.name}: {label}{type_name}{oneof}{options}"


def render_message(message: Descriptor) -> str:
    raw = descriptor_pb2.DescriptorProto()
    message.CopyToProto(raw)
    return "\n".join(
        [
            f"message {message.full_name}{deprecated(message.GetOptions())}",
            # The end of a reserved range of fields is exclusive, that of enum values is not.
            *spans((span.start, span.end - 1) for span in raw.reserved_range),
            *map(render_field, message.fields),
        ]
    )


def render_enum(enum: EnumDescriptor) -> str:
    raw = descriptor_pb2.EnumDescriptorProto()
    enum.CopyToProto(raw)
    return "\n".join(
        [
            f"enum {enum.full_name}",
            *spans((span.start, span.end) for span in raw.reserved_range),
            *(
                f"  {value.number} {value.name}{deprecated(value.GetOptions())}"
                for value in enum.values
            ),
        ]
    )


def render_service(service: ServiceDescriptor) -> str:
    lines = [f"service {service.full_name}"]
    for method in service.methods:
        asked = f"{'stream ' if method.client_streaming else ''}{method.input_type.full_name}"
        given = f"{'stream ' if method.server_streaming else ''}{method.output_type.full_name}"
        lines.append(f"  {method.name}: {asked} -> {given}")
    return "\n".join(lines)


def render_nested(message: Descriptor) -> Iterator[str]:
    yield render_message(message)
    for enum in message.enum_types:
        yield render_enum(enum)
    for nested in message.nested_types:
        yield from render_nested(nested)


def render_all(file: FileDescriptor) -> Iterator[str]:
    yield render_file(file)
    for service in file.services_by_name.values():
        yield render_service(service)
    for message in file.message_types_by_name.values():
        yield from render_nested(message)
    for enum in file.enum_types_by_name.values():
        yield render_enum(enum)


CONTRACT = blocks(Path(__file__).with_name("contract.txt").read_text(encoding="utf-8"))
GENERATED = blocks("\n\n".join(block for file in FILES for block in render_all(file)))


def test_contract_is_whole() -> None:
    # As counted in the Hubble API; SCTPChunkType and our own files come on top.
    kinds = [name.partition(" ")[0] for name in CONTRACT]
    assert kinds.count("message") == 45 + 17 + 3 + 1 + 1 + 4 + 2 + 15 + 6
    assert kinds.count("enum") == 16 + 1 + 1 + 1 + 1 + 1
    assert kinds.count("service") == 6
    assert set(CONTRACT) == set(GENERATED)


@pytest.mark.parametrize("name", CONTRACT)
def test_block(name: str) -> None:
    assert GENERATED[name] == CONTRACT[name]


def test_wire_bytes_by_hand() -> None:
    flow = flow_pb2.Flow(
        uuid="u",
        verdict=flow_pb2.DROPPED,
        drop_reason_desc=flow_pb2.POLICY_DENIED,
        Summary="s",
    )
    flow.is_reply.value = False
    assert flow.SerializeToString(deterministic=True) == bytes.fromhex(
        "10 02"  # 2, varint: DROPPED
        "c8 01 85 01"  # 25, varint: 133
        "d2 01 00"  # 26, empty message: set, and false
        "92 02 01 75"  # 34, string: "u"
        "82 ea 30 01 73"  # 100000, string: "s"
    )


def test_json_names_are_the_proto_names() -> None:
    flow = flow_pb2.Flow(
        node_name="n",
        Type=flow_pb2.L3_L4,
        IP=flow_pb2.IP(source="10.0.0.1", ipVersion=flow_pb2.IPv4),
        l4=flow_pb2.Layer4(TCP=flow_pb2.TCP(flags=flow_pb2.TCPFlags(SYN=True))),
        source=flow_pb2.Endpoint(ID=7),
        Summary="s",
    )
    assert json_format.MessageToDict(flow, preserving_proto_field_name=True) == {
        "node_name": "n",
        "Type": "L3_L4",
        "IP": {"source": "10.0.0.1", "ipVersion": "IPv4"},
        "l4": {"TCP": {"flags": {"SYN": True}}},
        "source": {"ID": 7},
        "Summary": "s",
    }


def test_messages_name_their_module() -> None:
    assert flow_pb2.Flow.__module__ == "api.proto.flow.flow_pb2"
    assert health_pb2.HealthCheckRequest.__module__ == "api.proto.health.health_pb2"


def test_observer_exports_flow_publicly() -> None:
    # A public import: who knows the observer's file alone can name a flow.
    assert observer_pb2.Flow is flow_pb2.Flow
