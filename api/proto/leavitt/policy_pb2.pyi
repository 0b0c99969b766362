from api.proto.flow import flow_pb2 as _flow_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyDecision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_DECISION_UNSPECIFIED: _ClassVar[PolicyDecision]
    POLICY_FREE: _ClassVar[PolicyDecision]
    POLICY_ALLOWED: _ClassVar[PolicyDecision]
    POLICY_DENIED: _ClassVar[PolicyDecision]
    POLICY_AUDITED: _ClassVar[PolicyDecision]
POLICY_DECISION_UNSPECIFIED: PolicyDecision
POLICY_FREE: PolicyDecision
POLICY_ALLOWED: PolicyDecision
POLICY_DENIED: PolicyDecision
POLICY_AUDITED: PolicyDecision

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("node_name", "policies", "problems")
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    node_name: str
    policies: _containers.RepeatedCompositeFieldContainer[NetworkPolicy]
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_name: _Optional[str] = ..., policies: _Optional[_Iterable[_Union[NetworkPolicy, _Mapping]]] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class NetworkPolicy(_message.Message):
    __slots__ = ("kind", "namespace", "name", "revision", "audited", "sections")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AUDITED_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    namespace: str
    name: str
    revision: int
    audited: bool
    sections: _containers.RepeatedCompositeFieldContainer[PolicySection]
    def __init__(self, kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., revision: _Optional[int] = ..., audited: _Optional[bool] = ..., sections: _Optional[_Iterable[_Union[PolicySection, _Mapping]]] = ...) -> None: ...

class PolicySection(_message.Message):
    __slots__ = ("path", "isolates", "pods", "rules")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ISOLATES_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    path: str
    isolates: _containers.RepeatedScalarFieldContainer[_flow_pb2.TrafficDirection]
    pods: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedCompositeFieldContainer[PolicyRule]
    def __init__(self, path: _Optional[str] = ..., isolates: _Optional[_Iterable[_Union[_flow_pb2.TrafficDirection, str]]] = ..., pods: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[_Union[PolicyRule, _Mapping]]] = ...) -> None: ...

class PolicyRule(_message.Message):
    __slots__ = ("path", "direction", "deny", "peers", "ports", "nobody")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    NOBODY_FIELD_NUMBER: _ClassVar[int]
    path: str
    direction: _flow_pb2.TrafficDirection
    deny: bool
    peers: _containers.RepeatedScalarFieldContainer[str]
    ports: _containers.RepeatedScalarFieldContainer[str]
    nobody: bool
    def __init__(self, path: _Optional[str] = ..., direction: _Optional[_Union[_flow_pb2.TrafficDirection, str]] = ..., deny: _Optional[bool] = ..., peers: _Optional[_Iterable[str]] = ..., ports: _Optional[_Iterable[str]] = ..., nobody: _Optional[bool] = ...) -> None: ...

class IdentitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IdentitiesResponse(_message.Message):
    __slots__ = ("identities",)
    IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    identities: _containers.RepeatedCompositeFieldContainer[KnownIdentity]
    def __init__(self, identities: _Optional[_Iterable[_Union[KnownIdentity, _Mapping]]] = ...) -> None: ...

class KnownIdentity(_message.Message):
    __slots__ = ("identity", "labels", "pods")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    identity: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    pods: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, identity: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., pods: _Optional[_Iterable[str]] = ...) -> None: ...

class PolicyParty(_message.Message):
    __slots__ = ("pod", "address")
    POD_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    pod: str
    address: str
    def __init__(self, pod: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class JudgeRequest(_message.Message):
    __slots__ = ("source", "destination", "protocol", "port")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    source: PolicyParty
    destination: PolicyParty
    protocol: int
    port: int
    def __init__(self, source: _Optional[_Union[PolicyParty, _Mapping]] = ..., destination: _Optional[_Union[PolicyParty, _Mapping]] = ..., protocol: _Optional[int] = ..., port: _Optional[int] = ...) -> None: ...

class JudgeResponse(_message.Message):
    __slots__ = ("source", "destination", "egress", "ingress")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    EGRESS_FIELD_NUMBER: _ClassVar[int]
    INGRESS_FIELD_NUMBER: _ClassVar[int]
    source: JudgedParty
    destination: JudgedParty
    egress: PolicyJudgement
    ingress: PolicyJudgement
    def __init__(self, source: _Optional[_Union[JudgedParty, _Mapping]] = ..., destination: _Optional[_Union[JudgedParty, _Mapping]] = ..., egress: _Optional[_Union[PolicyJudgement, _Mapping]] = ..., ingress: _Optional[_Union[PolicyJudgement, _Mapping]] = ...) -> None: ...

class JudgedParty(_message.Message):
    __slots__ = ("name", "identity", "labels", "alike")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ALIKE_FIELD_NUMBER: _ClassVar[int]
    name: str
    identity: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    alike: int
    def __init__(self, name: _Optional[str] = ..., identity: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., alike: _Optional[int] = ...) -> None: ...

class PolicyJudgement(_message.Message):
    __slots__ = ("decision", "match_type", "decided_by", "considered", "advice")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    MATCH_TYPE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    decision: PolicyDecision
    match_type: int
    decided_by: _containers.RepeatedCompositeFieldContainer[PolicyRuleRef]
    considered: _containers.RepeatedCompositeFieldContainer[ConsideredRule]
    advice: str
    def __init__(self, decision: _Optional[_Union[PolicyDecision, str]] = ..., match_type: _Optional[int] = ..., decided_by: _Optional[_Iterable[_Union[PolicyRuleRef, _Mapping]]] = ..., considered: _Optional[_Iterable[_Union[ConsideredRule, _Mapping]]] = ..., advice: _Optional[str] = ...) -> None: ...

class PolicyRuleRef(_message.Message):
    __slots__ = ("kind", "namespace", "name", "path")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    namespace: str
    name: str
    path: str
    def __init__(self, kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ConsideredRule(_message.Message):
    __slots__ = ("rule", "deny", "audited", "peer_matches", "port_matches", "reason", "nearest")
    RULE_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    AUDITED_FIELD_NUMBER: _ClassVar[int]
    PEER_MATCHES_FIELD_NUMBER: _ClassVar[int]
    PORT_MATCHES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    rule: PolicyRuleRef
    deny: bool
    audited: bool
    peer_matches: bool
    port_matches: bool
    reason: str
    nearest: bool
    def __init__(self, rule: _Optional[_Union[PolicyRuleRef, _Mapping]] = ..., deny: _Optional[bool] = ..., audited: _Optional[bool] = ..., peer_matches: _Optional[bool] = ..., port_matches: _Optional[bool] = ..., reason: _Optional[str] = ..., nearest: _Optional[bool] = ...) -> None: ...
