from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class FlowDetails(_message.Message):
    __slots__ = ("bytes", "packets", "rtt_ns", "rule_cookie", "vlan_id")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    RTT_NS_FIELD_NUMBER: _ClassVar[int]
    RULE_COOKIE_FIELD_NUMBER: _ClassVar[int]
    VLAN_ID_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    packets: int
    rtt_ns: int
    rule_cookie: int
    vlan_id: int
    def __init__(self, bytes: _Optional[int] = ..., packets: _Optional[int] = ..., rtt_ns: _Optional[int] = ..., rule_cookie: _Optional[int] = ..., vlan_id: _Optional[int] = ...) -> None: ...
