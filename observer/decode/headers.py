"""Read the columns that come from an event's header and ext, not from its packet.

The rules are Hubble's: which verdict, direction, reply state and reason an event stands for.
What needs the address book (direction of traces and drops) is left to the enricher.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.layout import (
    CAPTURE,
    DROP,
    FLAG_IPV6,
    REASON_ENCRYPTED,
    TRACE,
    VERDICT,
    VERDICT_DIR_MASK,
    VERDICT_FLAG_AUDIT,
    VERDICT_MATCH_MASK,
    VERDICT_MATCH_SHIFT,
)
from observer.table import scalars
from observer.table.columns import RowFlag
from observer.table.rows import Column, RawColumns, Rows

# flow.DebugCapturePoint: what a capture's first argument is
_CAPTURES_WITH_INTERFACE: Final = (4, 5, 6, 7, 10, 11)
_CAPTURES_WITH_PROXY: Final = (8, 9)

Index = NDArray[np.intp]

# flow.Verdict
FORWARDED: Final = 1
DROPPED: Final = 2
AUDIT: Final = 4
REDIRECTED: Final = 5
TRACED: Final = 6
TRANSLATED: Final = 7

# flow.TrafficDirection by the direction bits of a verdict: ingress and egress have its numbers
_DIRECTION: Final = np.array([0, 1, 2, 0], np.uint8)

# flow.Verdict by: 1 denied, 2 redirected, VERDICT_FLAG_AUDIT
_IS_REDIRECTED: Final = np.uint8(2)
_VERDICT: Final = np.full(256, FORWARDED, np.uint8)
_VERDICT[VERDICT_FLAG_AUDIT] = AUDIT
_VERDICT[[1, 1 | VERDICT_FLAG_AUDIT]] = DROPPED
_VERDICT[[2, 2 | VERDICT_FLAG_AUDIT]] = REDIRECTED

_ONLY_OF_SOME: Final = (
    "drop_reason",
    "direction",
    "match_type",
    "auth_type",
    "proxy_port",
    "file",
    "line",
)
"""Columns that only drops, only verdicts or only few traces have."""
_TO_PROXY: Final = 1
_ORIG_WORD: Final = 4  # of the 64-bit words of a trace header, the first of orig_ip

_REASON_REPLY: Final = 2
_REASON_UNKNOWN: Final = 5
_REASONS_WITHOUT_REPLY_STATE: Final = (_REASON_UNKNOWN, 6, 7)  # SRv6 encap, decap


def _reason_tables() -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.uint8]]:
    """By the trace header's reason byte: flow.TraceReason, is_reply, row flags."""
    raw = np.arange(256)
    reason = raw & ~REASON_ENCRYPTED
    trace_reason = np.where(reason < _REASON_UNKNOWN, reason + 1, reason)
    trace_reason[reason == _REASON_UNKNOWN] = 0
    is_reply = np.where(reason == _REASON_REPLY, 1, 0)
    is_reply[np.isin(reason, _REASONS_WITHOUT_REPLY_STATE)] = -1
    flags = np.where(raw & REASON_ENCRYPTED, int(RowFlag.ENCRYPTED), 0)
    return trace_reason.astype(np.uint8), is_reply.astype(np.int8), flags.astype(np.uint8)


_TRACE_REASON, _IS_REPLY, _FLAGS = _reason_tables()


def read_headers(types: NDArray[np.uint8], header: NDArray[np.uint8], rows: Rows) -> None:
    """Fill the header columns of m rows; must follow `read_ext`, which starts some of them.

    Most rows are traces: all are read as such, then drops and verdicts are put right.

    Args:
        types: uint8, shape (m,).
        header: uint8, shape (m, HEADER_MAX_BYTES), zero behind the header's end where that ends
            before the newest version does.
        rows: the m rows.
    """
    columns, raw = rows.columns, rows.raw
    trace = header.view(TRACE)[:, 0]
    reason = trace["reason"]
    columns["kind"][:] = types
    columns["sub_type"][:] = trace["common"]["subtype"]
    columns["endpoint_id"][:] = trace["common"]["source"]
    columns["verdict"].fill(FORWARDED)
    columns["is_reply"][:] = _IS_REPLY.take(reason)
    columns["trace_reason"][:] = _TRACE_REASON.take(reason)
    columns["flags"] |= _FLAGS.take(reason)
    columns["ip_trace_id"][:] = trace["ip_trace_id"]
    raw.identities[0] = trace["src_label"]
    raw.identities[1] = trace["dst_label"]
    raw.ifindex[:] = trace["ifindex"]
    for name in _ONLY_OF_SOME:
        columns[name].fill(0)

    is_trace = types == scalars.TRACE
    proxied = (is_trace & (columns["sub_type"] == _TO_PROXY)).nonzero()[0]
    columns["proxy_port"][proxied] = trace["dst_id"][proxied]
    words = header.view(np.uint64)
    np.not_equal(words[:, _ORIG_WORD] | words[:, _ORIG_WORD + 1], 0, out=raw.original_set)
    np.logical_and(raw.original_set, is_trace, out=raw.original_set)
    not_trace = (~is_trace).nonzero()[0]
    columns["is_reply"][not_trace] = -1
    columns["trace_reason"][not_trace] = 0
    columns["ip_trace_id"][not_trace] = 0
    columns["flags"][not_trace] &= ~scalars.ENCRYPTED
    _drops(header, (types == scalars.DROP).nonzero()[0], columns, raw)
    _verdicts(header, (types == scalars.POLICY_VERDICT).nonzero()[0], columns, raw)


def restore_sources(header: NDArray[np.uint8], rows: Rows) -> None:
    """Put the source from before translation in place; must follow all that reads packets."""
    columns, raw = rows.columns, rows.raw
    np.logical_and(raw.original_set, columns["ip_version"] != 0, out=raw.original_set)
    which = raw.original_set.nonzero()[0]
    if not which.size:
        return
    trace = header[which].view(TRACE)[:, 0]
    original = trace["orig_ip"].copy()
    mapped = original.copy()
    mapped[:, :10] = 0
    mapped[:, 10:12] = 0xFF
    mapped[:, 12:] = original[:, :4]
    is_ipv6 = trace["flags"] & FLAG_IPV6 != 0
    chosen = np.where(is_ipv6[:, None], original, mapped)
    raw.header_source[which] = columns["source_ip"][which]
    columns["source_ip"][which] = chosen.view(np.uint64)


def _drops(
    header: NDArray[np.uint8], rows: Index, columns: dict[str, Column], raw: RawColumns
) -> None:
    drop = header[rows, : DROP.itemsize].view(DROP)[:, 0]
    columns["verdict"][rows] = DROPPED
    columns["drop_reason"][rows] = drop["common"]["subtype"]
    columns["file"][rows] = drop["file"]
    columns["line"][rows] = drop["line"]
    columns["ip_trace_id"][rows] = drop["ip_trace_id"]
    raw.ifindex[rows] = drop["ifindex"]


def _verdicts(
    header: NDArray[np.uint8], rows: Index, columns: dict[str, Column], raw: RawColumns
) -> None:
    event = header[rows, : VERDICT.itemsize].view(VERDICT)[:, 0]
    value, flags = event["verdict"].copy(), event["flags"].copy()
    denied = value < 0
    state = denied + (value > 0) * _IS_REDIRECTED + (flags & VERDICT_FLAG_AUDIT)
    columns["verdict"][rows] = _VERDICT.take(state)
    # -value without overflow, and no more than the column holds
    columns["drop_reason"][rows] = np.where(denied, np.minimum(~value, 254) + 1, 0)
    columns["is_reply"][rows] = -denied.view(np.int8)
    columns["direction"][rows] = _DIRECTION.take(flags & VERDICT_DIR_MASK)
    columns["match_type"][rows] = (flags & VERDICT_MATCH_MASK) >> VERDICT_MATCH_SHIFT
    columns["auth_type"][rows] = event["auth_type"]
    columns["rule_cookie"][rows] = event["cookie"]
    remote = event["remote_label"]
    ingress = flags & VERDICT_DIR_MASK == 1
    raw.identities[0, rows] = remote * ingress
    raw.identities[1, rows] = remote * ~ingress
    raw.ifindex[rows] = 0


def read_captures(header: NDArray[np.uint8], which: Index, rows: Rows) -> None:
    """Put rows of debug captures right: their header shares only its first bytes with others'.

    Args:
        header: uint8, shape (m, HEADER_MAX_BYTES).
        which: the rows that are captures.
        rows: all m rows.
    """
    if not which.size:
        return
    capture = header[which, : CAPTURE.itemsize].view(CAPTURE)[:, 0]
    rows.columns["verdict"][which] = 0
    rows.raw.identities[:, which] = 0
    point, argument = capture["subtype"], capture["arg1"]
    rows.raw.ifindex[which] = argument * np.isin(point, _CAPTURES_WITH_INTERFACE)
    # The proxy's port, 32 bits in network order.
    rows.columns["proxy_port"][which] = argument.byteswap() * np.isin(point, _CAPTURES_WITH_PROXY)
