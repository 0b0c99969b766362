"""Plans: how flows are put together for one field mask.

A plan says which parts the head has and holds the caches whose fragments the mask cuts down.
Masks are few (none, and the one that each kind of client sends), so plans are kept.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from api.proto.flow.flow_pb2 import Flow, TrafficDirection, Verdict
from observer.encode.fragments import KeyFragments, RefFragments
from observer.encode.head import HeadLayout, HeadParts
from observer.encode.masks import FieldMask
from observer.encode.messages import (
    endpoint_message,
    interface_message,
    policy_messages,
    service_message,
)
from observer.encode.traits import Traits, l4_rest_field, traits_flow
from observer.table.interns import Interns, InternTable

_TRAIT_SLOT_BITS: Final = 13
_KNOWN_TRAITS: Final = 8_192

_ROW_FIELDS: Final = (
    "time",
    "uuid",
    "ethernet",
    "IP",
    "l4",
    "file",
    "ip_trace_id",
    "extensions",
)
"""Fields that differ from row to row: they are wanted whole or not at all, or it gets slow."""
_CONSTANT_FIELDS: Final = ("node_name", "node_labels", "emitter")
_DETAIL_FIELDS: Final = ("tunnel", "socket_cookie", "cgroup_id")
_REF_FIELDS: Final = (
    "source",
    "destination",
    "source_names",
    "destination_names",
    "source_service",
    "destination_service",
    "interface",
)
_VERDICTS: Final = np.arange(256)
_ALLOWED: Final = 0x100
_DENIED: Final = 0x200
_OUTCOMES: Final = (
    _ALLOWED * np.isin(_VERDICTS, (Verdict.FORWARDED, Verdict.REDIRECTED))
    + _DENIED * np.isin(_VERDICTS, (Verdict.DROPPED, Verdict.AUDIT))
).astype(np.uint16)
"""By verdict; the direction is added."""

_POLICY_FIELDS: Final = {
    "egress_allowed_by": np.uint16(_ALLOWED + TrafficDirection.EGRESS),
    "ingress_allowed_by": np.uint16(_ALLOWED + TrafficDirection.INGRESS),
    "egress_denied_by": np.uint16(_DENIED + TrafficDirection.EGRESS),
    "ingress_denied_by": np.uint16(_DENIED + TrafficDirection.INGRESS),
}


def _singular(field: str, message_of: Callable[[Any], Message]) -> Callable[[Any], Flow]:
    def flow_of(value: object) -> Flow:
        flow = Flow()
        getattr(flow, field).CopyFrom(message_of(value))
        return flow

    return flow_of


def _repeated(field: str, values_of: Callable[[Any], Iterable[object]]) -> Callable[[Any], Flow]:
    def flow_of(value: object) -> Flow:
        flow = Flow()
        getattr(flow, field).extend(values_of(value))
        return flow

    return flow_of


class Plan:
    """Fragments and head of flows under a mask (None: everything)."""

    def __init__(self, mask: FieldMask | None, interns: Interns, constants: Flow) -> None:
        self._mask = mask
        self._interns = interns
        self.head = HeadLayout(
            HeadParts(
                time=self.wants("time"),
                uuid=self.wants("uuid"),
                ethernet=self.wants("ethernet"),
                l4=self.wants("l4"),
                node_name=constants.node_name if self.wants("node_name") else "",
                constants=self._masked(_CONSTANT_FIELDS, constants),
            )
        )
        self.rows_encoded = 0
        self._known_traits: dict[bytes, bytes] = {}
        self.traits = KeyFragments(slot_bits=_TRAIT_SLOT_BITS, build=self._build_traits)
        self.refs = dict(self._ref_fragments())
        self.policies = dict(self._policy_fragments())

    def wants(self, field: str) -> bool:
        """Whether the mask covers all of a field."""
        return self._mask is None or self._mask.child(field) is True

    @property
    def joinable(self) -> bool:
        """Whether no mask path leads into a field that is not made of fragments."""
        if self._mask is None:
            return True
        return all(isinstance(self._mask.child(field), bool) for field in _ROW_FIELDS)

    def detail_fragment(self, flow: Flow) -> bytes:
        """Encode what a row's detail adds to the flow."""
        return self._masked(_DETAIL_FIELDS, flow)

    def follow(self) -> Iterator[tuple[InternTable[Any], list[RefFragments[Any]]]]:
        """Name the caches that must drop the freed refs of each intern table."""
        interns = self._interns
        for table, columns in (
            (interns.endpoints, ("source_ref", "destination_ref")),
            (interns.services, ("source_service_ref", "destination_service_ref")),
            (interns.names, ("source_names_ref", "destination_names_ref")),
            (interns.interfaces, ("interface_ref",)),
        ):
            yield table, [self.refs[column] for column in columns if column in self.refs]
        yield interns.policies, list(self.policies.values())

    def policy_outcomes(
        self, verdict: NDArray[np.uint8], direction: NDArray[np.uint8]
    ) -> Iterator[tuple[RefFragments[Any], NDArray[np.intp]]]:
        """Say for which rows the policies stand in which field."""
        found = _OUTCOMES.take(verdict)
        found += direction
        for field, fragments in self.policies.items():
            rows = (found == _POLICY_FIELDS[field]).nonzero()[0]
            if len(rows):
                yield fragments, rows

    def _masked(self, fields: tuple[str, ...], flow: Flow) -> bytes:
        return _encode(flow, None if self._mask is None else self._mask.only(fields))

    def _build_traits(self, keys: list[bytes]) -> list[bytes]:
        """Encode traits; what is known is kept a second time, since each costs a message."""
        known = self._known_traits
        if len(known) > _KNOWN_TRAITS:
            known.clear()
        for key in set(keys).difference(known):
            known[key] = self._trait_fragment(Traits.unpack(key))
        return [known[key] for key in keys]

    def _trait_fragment(self, traits: Traits) -> bytes:
        others = _ROW_FIELDS + _CONSTANT_FIELDS + _REF_FIELDS + tuple(_POLICY_FIELDS)
        mask = None if self._mask is None else self._mask.without(others)
        opened = l4_rest_field(traits) if self.wants("l4") else b""
        return opened + _encode(traits_flow(traits), mask)

    def _ref_fragments(self) -> Iterator[tuple[str, RefFragments[Any]]]:
        interns = self._interns
        tables: tuple[tuple[str, InternTable[Any], Callable[[Any], Flow]], ...] = (
            *(
                (side, interns.endpoints, _singular(side, endpoint_message))
                for side in ("source", "destination")
            ),
            *(
                (field, interns.names, _repeated(field, tuple))
                for field in ("source_names", "destination_names")
            ),
            *(
                (field, interns.services, _singular(field, service_message))
                for field in ("source_service", "destination_service")
            ),
            ("interface", interns.interfaces, _singular("interface", interface_message)),
        )
        for field, table, flow_of in tables:
            if self._mask is None or self._mask.child(field) is not False:
                yield f"{field}_ref", RefFragments(table, self._builder(field, flow_of))

    def _policy_fragments(self) -> Iterator[tuple[str, RefFragments[Any]]]:
        for field in _POLICY_FIELDS:
            if self.wants(field):
                builder = self._builder(field, _repeated(field, policy_messages))
                yield field, RefFragments(self._interns.policies, builder)

    def _builder(self, field: str, flow_of: Callable[[Any], Flow]) -> Callable[[Any], bytes]:
        def build(value: object) -> bytes:
            return self._masked((field,), Flow() if value is None else flow_of(value))

        return build


def _encode(flow: Flow, mask: FieldMask | None) -> bytes:
    if mask is None:
        return flow.SerializeToString()
    kept = Flow()
    mask.copy(flow, kept)
    return kept.SerializeToString()
