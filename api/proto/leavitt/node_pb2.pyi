import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportRequest(_message.Message):
    __slots__ = ("per_node",)
    PER_NODE_FIELD_NUMBER: _ClassVar[int]
    per_node: bool
    def __init__(self, per_node: _Optional[bool] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("node_name", "error", "uptime", "mode", "attach", "losses", "problems", "problem_count", "table", "readers", "pods", "batches", "nodes", "nodes_left_out")
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    NODES_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    node_name: str
    error: str
    uptime: _duration_pb2.Duration
    mode: str
    attach: str
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    problem_count: int
    table: TableReport
    readers: ReaderReport
    pods: int
    batches: int
    nodes: _containers.RepeatedCompositeFieldContainer[NodeReport]
    nodes_left_out: int
    def __init__(self, node_name: _Optional[str] = ..., error: _Optional[str] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., mode: _Optional[str] = ..., attach: _Optional[str] = ..., losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., problem_count: _Optional[int] = ..., table: _Optional[_Union[TableReport, _Mapping]] = ..., readers: _Optional[_Union[ReaderReport, _Mapping]] = ..., pods: _Optional[int] = ..., batches: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[NodeReport, _Mapping]]] = ..., nodes_left_out: _Optional[int] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("stage", "reason", "count", "first_time", "last_time")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    stage: str
    reason: str
    count: int
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    def __init__(self, stage: _Optional[str] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ..., first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("kind", "object", "text", "since")
    KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    object: str
    text: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., object: _Optional[str] = ..., text: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TableReport(_message.Message):
    __slots__ = ("rows", "capacity", "oldest_time", "span")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    OLDEST_TIME_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    rows: int
    capacity: int
    oldest_time: _timestamp_pb2.Timestamp
    span: _duration_pb2.Duration
    def __init__(self, rows: _Optional[int] = ..., capacity: _Optional[int] = ..., oldest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., span: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReaderReport(_message.Message):
    __slots__ = ("count", "worst_lag_rows")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WORST_LAG_ROWS_FIELD_NUMBER: _ClassVar[int]
    count: int
    worst_lag_rows: int
    def __init__(self, count: _Optional[int] = ..., worst_lag_rows: _Optional[int] = ...) -> None: ...
