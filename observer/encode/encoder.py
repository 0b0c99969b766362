"""The encoder: positions in, one string of framed GetFlowsResponse messages out.

Each response is a list of pieces, head first (see `head`), and a whole slice of rows is one
`join`. Rows of kind LOST become lost_events responses. A field mask that reaches into a field
which is not made of fragments is applied message by message: right, but twenty times slower.
"""

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.lane.wire import Framed, frame
from api.proto.flow.flow_pb2 import Emitter, Flow
from observer.encode.addresses import AddressPieces, Piece
from observer.encode.extras import (
    RarePiece,
    details_piece,
    file_piece,
    ip_trace_id_piece,
    listed_piece,
)
from observer.encode.head import HeadRows
from observer.encode.masked import masked
from observer.encode.masks import FieldMask
from observer.encode.messages import detail_flow, lost_response, progress_response
from observer.encode.plan import Plan
from observer.encode.row_columns import RowColumns
from observer.encode.traits import SAW_SEGMENT, pack
from observer.encode.varint import varint
from observer.entities import LostEvents
from observer.table.columns import EventKind, L4Kind, RowFlag
from observer.table.interns import Interns, InternTable
from observer.table.ring import FlowTable

_KEPT_PLANS: Final = 4
_WARM_ROWS: Final = 512
_PART_ROWS: Final = 384
# NumPy is slow with members of enums.
_DETAIL: Final = int(RowFlag.DETAIL)
_ETHERNET: Final = int(RowFlag.ETHERNET)
_TCP: Final = int(L4Kind.TCP)
_LOST: Final = int(EventKind.LOST)
_RARE: Final = 4
"""What fewer than one row of so many has is gathered in one piece."""
_TCP_FLAGS: Final = 0x1FF
_FLAGS_BYTES: Final = np.array([2 + 2 * n.bit_count() for n in range(_TCP_FLAGS + 1)], np.int64)
"""Length of the field TCP.flags, by flags."""
_HAS_NUMBER: Final = np.isin(np.arange(256), (L4Kind.SCTP, L4Kind.VRRP))
"""By l4_kind: what has a number in its place."""
_NUMBER_BYTES: Final = np.array([0, *(1 + len(varint(n)) for n in range(1, 256))], np.int64)


class FlowEncoder:
    """Encodes the rows of one table; its caches are shared by all readers."""

    def __init__(
        self,
        table: FlowTable,
        interns: Interns,
        *,
        node_name: str,
        emitter: tuple[str, str],
        node_labels: tuple[str, ...] = (),
    ) -> None:
        """Take what all flows have in common.

        Args:
            table: the rows.
            interns: what the rows refer to.
            node_name: `cluster/node`.
            emitter: name and version of this program.
            node_labels: labels of the node, `key=value`.
        """
        self._table = table
        self._interns = interns
        self.node_name = node_name
        self.node_labels = node_labels
        self._constants = Flow(
            node_name=node_name,
            node_labels=node_labels,
            emitter=Emitter(name=emitter[0], version=emitter[1]),
        )
        self._addresses = AddressPieces(interns.addresses)
        self._plans: OrderedDict[FieldMask | None, Plan] = OrderedDict()
        self._follow_frees()

    def encode(
        self, positions: NDArray[np.int64], *, paths: FieldMask | None, details: bool
    ) -> Framed:
        """Encode rows into one string; arguments as for `encode_parts`."""
        parts = self.encode_parts(positions, paths=paths, details=details)
        return Framed(b"".join([part.data for part in parts]), len(positions))

    def encode_parts(
        self, positions: NDArray[np.int64], *, paths: FieldMask | None, details: bool
    ) -> Iterator[Framed]:
        """Encode rows; what comes back joins some hundred messages each time it is asked.

        The rows are read at once, so that they may be overwritten between two parts.

        Args:
            positions: int64 (n,), ascending, all readable now.
            paths: what of each flow is wanted, None for everything.
            details: add leavitt.FlowDetails as extension, for clients that know it.
        """
        if not len(positions):
            return iter(())
        plan = self._plan(paths)
        plan.rows_encoded += len(positions)
        if paths is not None and not plan.joinable:
            whole = self.encode(positions, paths=None, details=details)
            return iter((masked(whole, paths),))
        columns = RowColumns(self._table, positions)
        pieces = self._fragments(plan, columns, details=details)
        heads = plan.head.heads(self._head_rows(plan, columns, pieces))
        joined = np.empty((len(positions), 1 + len(pieces)), object)
        joined[:, 0] = heads
        for index, (fragments, _) in enumerate(pieces):
            joined[:, index + 1] = fragments
        self._replace_lost(joined, columns)
        return _parts(joined)

    def is_warm(self, paths: FieldMask | None) -> bool:
        """Whether most of what repeats is encoded already, under a mask."""
        plan = self._plans.get(paths)
        return plan is not None and plan.rows_encoded > _WARM_ROWS

    def lost(self, lost: LostEvents, *, time_ns: int) -> Framed:
        """Encode the report of a gap that is not in the table."""
        response = lost_response(lost, time_ns=time_ns, node_name=self.node_name)
        return Framed(frame(response.SerializeToString()), 1)

    def progress(self, time_ns: int) -> Framed:
        """Encode that nothing older will follow."""
        return Framed(frame(progress_response(time_ns, self.node_name).SerializeToString()), 1)

    def _fragments(self, plan: Plan, columns: RowColumns, *, details: bool) -> list[Piece]:
        """Return all pieces but the head; traits first, since they close Flow.l4."""
        pieces = [plan.traits.take(pack(columns))]
        if plan.wants("IP"):
            pieces += self._addresses.pieces(
                source=columns("source_ip"),
                destination=columns("destination_ip"),
                ip_version=columns("ip_version"),
                flags=columns("flags"),
                xlated_ref=columns("xlated_ref"),
            )
        rare = RarePiece(len(columns.positions))
        for name, cache in plan.refs.items():
            refs = columns(name)
            count = np.count_nonzero(refs)
            if cache.always or _RARE * count > len(refs):
                pieces.append(cache.take(refs))
            elif count:
                rows = refs.nonzero()[0]
                rare.add(rows, cache.take(refs.take(rows)))
        self._add_rare(rare, plan, columns)
        if rare.used:
            pieces.append(rare.piece)
        if details and plan.wants("extensions"):
            pieces.append(details_piece(columns))
        return pieces

    def _add_rare(self, rare: RarePiece, plan: Plan, columns: RowColumns) -> None:
        files = columns("file")
        rows = files.nonzero()[0]
        if len(rows) and plan.wants("file"):
            rare.add(rows, file_piece(files.take(rows), columns("line").take(rows)))
        ids = columns("ip_trace_id")
        rows = ids.nonzero()[0]
        if len(rows) and plan.wants("ip_trace_id"):
            rare.add(rows, ip_trace_id_piece(ids.take(rows)))
        refs = columns("policies_ref")
        rows = refs.nonzero()[0]
        if len(rows) and plan.policies:
            verdict, direction = columns("verdict").take(rows), columns("direction").take(rows)
            for cache, which in plan.policy_outcomes(verdict, direction):
                chosen = rows.take(which)
                rare.add(chosen, cache.take(refs.take(chosen)))
        rows = (columns("flags") & _DETAIL).nonzero()[0]
        if len(rows):
            details = [self._table.details.get(n) for n in columns.positions[rows].tolist()]
            rare.add(rows, listed_piece([plan.detail_fragment(detail_flow(d)) for d in details]))

    def _head_rows(self, plan: Plan, columns: RowColumns, pieces: list[Piece]) -> HeadRows:
        l4_kind = columns("l4_kind")
        flags_bytes = _FLAGS_BYTES.take(columns("tcp_flags") & _TCP_FLAGS)
        flags_bytes *= (l4_kind == _TCP) & SAW_SEGMENT.take(columns("kind"))
        rows = _HAS_NUMBER.take(l4_kind).nonzero()[0]
        if len(rows):
            flags_bytes[rows] = _NUMBER_BYTES.take(columns("tcp_flags").take(rows) & 0xFF)
        total = np.zeros(len(l4_kind), np.int64)
        for _, lengths in pieces:
            total += lengths
        wanted = columns.positions if plan.wants("uuid") else columns.positions[:0]
        return HeadRows(
            fragments_bytes=total,
            time_ns=columns("time_ns"),
            uuids=self._table.uuids(wanted),
            macs=columns("macs"),
            has_ethernet=(columns("flags") & _ETHERNET) != 0,
            l4_kind=l4_kind,
            source_port=columns("source_port"),
            destination_port=columns("destination_port"),
            tcp_flags_bytes=flags_bytes,
        )

    def _replace_lost(self, joined: NDArray[Any], columns: RowColumns) -> None:
        for row in (columns("kind") == _LOST).nonzero()[0].tolist():
            detail = self._table.details.get(int(columns.positions[row]))
            joined[row] = b""
            if isinstance(detail, LostEvents):
                time_ns = int(columns("time_ns")[row])
                joined[row, 0] = self.lost(detail, time_ns=time_ns).data

    def _plan(self, mask: FieldMask | None) -> Plan:
        plan = self._plans.get(mask)
        if plan is None:
            plan = self._plans[mask] = Plan(mask, self._interns, self._constants)
            if len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(mask)
        return plan

    def _follow_frees(self) -> None:
        """Drop the fragments of freed refs from all plans there are by then."""
        interns = self._interns
        interns.addresses.on_freed(self._addresses.translated.drop)
        tables: tuple[InternTable[Any], ...] = (
            interns.endpoints,
            interns.services,
            interns.names,
            interns.interfaces,
            interns.policies,
        )
        for table in tables:
            table.on_freed(partial(self._drop, table))

    def _drop(self, table: object, refs: list[int]) -> None:
        for plan in self._plans.values():
            for followed, caches in plan.follow():
                if followed is table:
                    for cache in caches:
                        cache.drop(refs)


def _parts(pieces: NDArray[Any]) -> Iterator[Framed]:
    """Join the pieces of messages, one row each, as many as the CPU's cache holds till written."""
    # Equal parts: each costs a pass of the loop, whatever its size.
    count = -(-len(pieces) // _PART_ROWS)
    rows = -(-len(pieces) // count)
    for start in range(0, len(pieces), rows):
        part = pieces[start : start + rows]
        yield Framed(b"".join(part.ravel().tolist()), len(part))
