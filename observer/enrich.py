"""The enricher: what the address book knows now is written into rows as refs.

In: rows as decoded, with the samples' identities and interface numbers beside. Out: the same
rows with their `_ref` columns filled and the directions that need to know which side is local.
`observer.table` is next and holds what the refs stand for.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.addresses import AddressBook
from observer.table import scalars
from observer.table.columns import L4Kind
from observer.table.interns import Interns
from observer.table.rows import Rows

U64 = np.uint64

_INGRESS: Final = 1
_REASON_REPLY: Final = 3  # flow.TraceReason
# flow.TraceObservationPoint, as in samples
_TO_ENDPOINT: Final = 0
_FROM_ENDPOINT: Final = 5

_PROTO: Final = np.zeros(256, np.uint8)
_PROTO[[L4Kind.TCP, L4Kind.UDP, L4Kind.SCTP]] = (6, 17, 132)


class Enricher:
    """Fills rows from an address book; its work is a few dozen array operations a batch."""

    def __init__(self, book: AddressBook, interns: Interns) -> None:
        self._book = book
        self._addresses = interns.addresses

    def enrich(self, rows: Rows) -> None:
        """Fill the `_ref` columns, and the directions of drops and traces, in place."""
        if not rows.count:
            return
        book, columns, raw = self._book, rows.columns, rows.raw
        # Both sides in one go: sources first, then destinations.
        entries = book.entries(raw.addresses.reshape(-1, 2))
        refs = book.endpoint_refs(entries, raw.identities.reshape(-1))
        protos = _PROTO.take(columns["l4_kind"])
        ports = np.concatenate([columns["source_port"], columns["destination_port"]])
        services = book.service_refs(entries, ports, np.concatenate([protos, protos]))
        columns["source_ref"][:], columns["destination_ref"][:] = refs.reshape(2, -1)
        columns["source_service_ref"][:] = services[: rows.count]
        columns["destination_service_ref"][:] = services[rows.count :]
        columns["interface_ref"][:] = book.interface_refs(raw.ifindex)
        source_ids, destination_ids = book.endpoint_ids(entries).reshape(2, -1)
        self._directions(rows, source_ids)
        self._observed(rows, source_ids, destination_ids)
        self._policies(rows)
        self._debug(rows)
        self._translated(rows)

    def _directions(self, rows: Rows, source_ids: np.ndarray) -> None:
        """Say on which side of the local endpoint a drop or a trace with a known reason is."""
        columns = rows.columns
        outward = source_ids == columns["endpoint_id"]
        outward ^= columns["trace_reason"] == _REASON_REPLY
        outward |= rows.raw.original_set
        told = columns["kind"] == scalars.DROP
        told |= columns["trace_reason"] != 0
        told &= columns["endpoint_id"] != 0
        directions = outward.astype(np.uint8) + _INGRESS  # egress is the next number
        np.copyto(columns["direction"], directions, where=told)

    def _observed(
        self, rows: Rows, source_ids: NDArray[np.uint16], destination_ids: NDArray[np.uint16]
    ) -> None:
        """Say the same of rows whose samples name no endpoint: where they were seen tells."""
        columns = rows.columns
        told = (columns["flags"] & scalars.OBSERVED) != 0
        told &= columns["kind"] == scalars.TRACE
        which = told.nonzero()[0]
        if not which.size:
            return
        point, source, destination = (
            column[which] for column in (columns["sub_type"], source_ids, destination_ids)
        )
        is_from, is_to = point == _FROM_ENDPOINT, point == _TO_ENDPOINT
        is_outward = is_from | (~is_to & (source != 0))
        is_local = is_from | is_to | (source != 0) | (destination != 0)
        is_egress = is_outward ^ (columns["trace_reason"][which] == _REASON_REPLY)
        columns["endpoint_id"][which] = np.where(is_outward, source, destination)
        columns["direction"][which] = np.where(is_local, is_egress + _INGRESS, 0)

    def _policies(self, rows: Rows) -> None:
        """Name who decided: of verdicts and drops only, other events merely carry the cookie."""
        kind = rows.columns["kind"]
        decided = (kind == scalars.POLICY_VERDICT) | (kind == scalars.DROP)
        which = (decided & (rows.columns["rule_cookie"] != 0)).nonzero()[0]
        if which.size:
            cookies = rows.columns["rule_cookie"][which]
            rows.columns["policies_ref"][which] = self._book.policy_refs(cookies)

    def _debug(self, rows: Rows) -> None:
        """Name the endpoint that a debug message is about: it has a number only."""
        which = (rows.columns["kind"] == scalars.DEBUG).nonzero()[0]
        if which.size:
            endpoint_ids = rows.columns["endpoint_id"][which]
            rows.columns["source_ref"][which] = self._book.local_refs(endpoint_ids)

    def _translated(self, rows: Rows) -> None:
        """Keep the packet's own source where it differs from the one before translation."""
        source, header = rows.columns["source_ip"], rows.raw.header_source
        which = rows.raw.original_set.nonzero()[0]
        which = which[(source[which] != header[which]).any(axis=1)]
        rows.columns["xlated_ref"][which] = [
            self._addresses.ref(address.tobytes()) for address in header[which]
        ]
