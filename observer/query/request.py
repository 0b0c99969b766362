"""What a GetFlowsRequest asks for, checked.

number   how many flows; 0 is all of them, or with follow no history
first    number counts from the oldest row, else back from the newest
follow   go on with rows to come; number then only says where to begin
since    skip what is older; number then counts from there
until    end at the first flow that is younger
"""

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
)
from observer.encode import FieldMask, FieldMaskError
from observer.filters import CostlyFilterError, FilterError, Selection, compile_filters
from observer.filters.context import FlowSource
from observer.query.errors import InvalidQueryError, QueryError
from observer.query.kinds import KindTest, are_agent_events, are_debug_events, are_flows

_NS_PER_S = 1_000_000_000
_MAX_NS = (1 << 63) - 1
_MIN_SECONDS = -62_135_596_800
_MAX_SECONDS = 253_402_300_799


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """A request that can be served."""

    number: int
    first: bool
    follow: bool
    since_ns: int | None
    until_ns: int | None
    """Both are wall time, inclusive, cut to what a row can have."""
    selection: Selection
    mask: FieldMask | None
    kinds: KindTest
    """Which rows are meant at all."""

    @property
    def sends_everything(self) -> bool:
        """Whether nearly every row is sent."""
        return self.selection.everything and self.kinds is are_flows

    @classmethod
    def parse(
        cls,
        request: GetFlowsRequest,
        *,
        node_name: str,
        node_labels: tuple[str, ...],
        flows: FlowSource | None = None,
    ) -> "FlowRequest":
        """Check a request; `flows` for filters that want whole flows.

        Raises:
            InvalidQueryError: first and follow, or filters that would take too long.
            QueryError: a bad filter, field mask or time.
        """
        _check(request)
        try:
            selection = compile_filters(
                request.whitelist,
                request.blacklist,
                node_name=node_name,
                node_labels=node_labels,
                flows=flows,
            )
            mask = FieldMask.from_paths(request.field_mask.paths)
        except CostlyFilterError as error:
            raise InvalidQueryError(str(error)) from error
        except (FilterError, FieldMaskError) as error:
            raise QueryError(str(error)) from error
        return cls(
            number=request.number,
            first=request.first,
            follow=request.follow,
            since_ns=_time_ns(request.since) if request.HasField("since") else None,
            until_ns=_time_ns(request.until) if request.HasField("until") else None,
            selection=selection,
            mask=mask,
            kinds=are_flows,
        )

    @classmethod
    def parse_agent(cls, request: GetAgentEventsRequest) -> "FlowRequest":
        """Check a request for agent events; errors as for `parse`."""
        return cls._parse_events(request, are_agent_events)

    @classmethod
    def parse_debug(cls, request: GetDebugEventsRequest) -> "FlowRequest":
        """Check a request for debug events; errors as for `parse`."""
        return cls._parse_events(request, are_debug_events)

    @classmethod
    def _parse_events(
        cls, request: GetAgentEventsRequest | GetDebugEventsRequest, kinds: KindTest
    ) -> "FlowRequest":
        _check(request)
        return cls(
            number=request.number,
            first=request.first,
            follow=request.follow,
            since_ns=_time_ns(request.since) if request.HasField("since") else None,
            until_ns=_time_ns(request.until) if request.HasField("until") else None,
            # Looked at in large slices: they are few among the rows.
            selection=compile_filters([], []),
            mask=None,
            kinds=kinds,
        )


def _check(request: GetFlowsRequest | GetAgentEventsRequest | GetDebugEventsRequest) -> None:
    if request.first and request.follow:
        raise InvalidQueryError("first cannot be specified with follow")


def _time_ns(timestamp: Timestamp) -> int:
    """Return nanoseconds since 1970, cut to what a row can have; errors are told as Hubble does."""
    fields = " ".join(f"{field.name}:{value}" for field, value in timestamp.ListFields())
    if timestamp.seconds < _MIN_SECONDS:
        raise QueryError(f"proto: timestamp ({fields}) before 0001-01-01")
    if timestamp.seconds > _MAX_SECONDS:
        raise QueryError(f"proto: timestamp ({fields}) after 9999-12-31")
    if not 0 <= timestamp.nanos < _NS_PER_S:
        raise QueryError(f"proto: timestamp ({fields}) has out-of-range nanos")
    return min(max(timestamp.seconds * _NS_PER_S + timestamp.nanos, 0), _MAX_NS)
