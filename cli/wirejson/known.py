"""Messages that JSON writes in a form of their own: times, spans, wrapped values, Any."""

import base64
from collections.abc import Callable
from functools import lru_cache

from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue, Int32Value, UInt32Value

from api.proto.leavitt import flow_details_pb2
from cli.wirejson import render

PayloadText = Callable[[bytes], str]
WriterOf = Callable[[Descriptor], PayloadText]

# Kept here so that an Any of this type finds its description.
DETAILS = flow_details_pb2.FlowDetails


def known_type(descriptor: Descriptor, writer_of: WriterOf) -> PayloadText | None:
    """Find the writer of a well-known type; None for all other messages."""
    if descriptor.full_name == "google.protobuf.Any":
        return lambda payload: _any(payload, writer_of)
    return _KNOWN.get(descriptor.full_name)


# A response repeats the time of its flow.
@lru_cache(maxsize=2)
def _timestamp(payload: bytes) -> str:
    moment = Timestamp.FromString(payload)
    return render.timestamp(moment.seconds, moment.nanos)


def _duration(payload: bytes) -> str:
    span = Duration.FromString(payload)
    return f'"{span.ToJsonString()}"'


def _bool_value(payload: bytes) -> str:
    return "true" if BoolValue.FromString(payload).value else "false"


def _uint32_value(payload: bytes) -> str:
    return str(UInt32Value.FromString(payload).value)


def _int32_value(payload: bytes) -> str:
    return str(Int32Value.FromString(payload).value)


def _field_mask(payload: bytes) -> str:
    return render.string(",".join(FieldMask.FromString(payload).paths).encode())


def _any(payload: bytes, writer_of: WriterOf) -> str:
    """Write an Any with its type; of a type that is not known here, the bytes in base64."""
    packed = Any.FromString(payload)
    head = f'"@type":{render.string(packed.type_url.encode())}'
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(
            packed.type_url.rpartition("/")[2]
        )
    except KeyError:
        value = base64.b64encode(packed.value).decode()
        return f'{{{head},"value":"{value}"}}'
    text = writer_of(descriptor)(packed.value)
    if not text.startswith("{"):
        return f'{{{head},"value":{text}}}'
    return f"{{{head}}}" if text == "{}" else f"{{{head},{text[1:]}"


_KNOWN: dict[str, PayloadText] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.BoolValue": _bool_value,
    "google.protobuf.UInt32Value": _uint32_value,
    "google.protobuf.Int32Value": _int32_value,
    "google.protobuf.FieldMask": _field_mask,
}
