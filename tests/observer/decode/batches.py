"""Batches for tests, and the comparison of decoded rows with the reference decoder."""

from collections import Counter
from typing import Any

import numpy as np

from observer.decode.decoder import Decoder
from observer.entities import SocketTranslation, Tunnel
from observer.ledger import Ledger, Stage
from observer.samples import SAMPLE_BYTES, SampleBatch
from observer.table.columns import FLOW_COLUMNS
from observer.table.rows import Rows
from tests.observer.decode import reference

WALL_OFFSET_NS = 1_700_000_000_000_000_000
FILLED_LATER = {name for name in FLOW_COLUMNS if name.endswith("_ref")}


def make_batch(samples: list[bytes], *, start_ns: int = 1000) -> SampleBatch:
    """Pad samples with zeros, as rings do."""
    padded = b"".join(sample.ljust(SAMPLE_BYTES, b"\0") for sample in samples)
    count = len(samples)
    return SampleBatch(
        samples=np.frombuffer(padded, np.uint8).reshape(count, SAMPLE_BYTES),
        mono_ns=np.arange(start_ns, start_ns + count, dtype=np.int64),
        cpus=np.arange(count).astype(np.uint16) % 4,
        wall_offset_ns=WALL_OFFSET_NS,
    )


def row(rows: Rows, index: int) -> dict[str, Any]:
    """Give one row as plain values: numbers, and bytes where a column has several."""
    return {
        name: column[index].tobytes() if column.ndim > 1 else int(column[index])
        for name, column in rows.columns.items()
    }


def check_against_reference(batch: SampleBatch, decoder_of: type[Decoder] = Decoder) -> Rows:
    """Decode a batch and compare every column of every row, and every count, with the oracle."""
    ledger = Ledger()
    rows = decoder_of(ledger).decode(batch)
    refused: Counter[str] = Counter()
    index = 0
    for at in range(len(batch)):
        try:
            expected = reference.decode(batch.samples[at].tobytes())
        except reference.RefusedError as refusal:
            refused[str(refusal)] += 1
            continue
        assert index < rows.count
        _compare(rows, index, expected, int(batch.mono_ns[at]), int(batch.cpus[at]))
        index += 1
    assert rows.count == index
    assert dict(refused) == {reason: n for _, reason, n in ledger.snapshot()}
    assert rows.count + ledger.total(Stage.DECODE) == len(batch)
    return rows


def _compare(rows: Rows, index: int, expected: reference.Decoded, mono_ns: int, cpu: int) -> None:
    found = row(rows, index)
    wanted = expected.columns | {"time_ns": mono_ns + WALL_OFFSET_NS, "cpu": cpu}
    assert found == wanted | dict.fromkeys(FILLED_LATER, 0)
    raw = rows.raw
    assert raw.identities[:, index].tolist() == [
        expected.source_identity,
        expected.destination_identity,
    ]
    assert raw.ifindex[index] == expected.ifindex
    assert bool(raw.original_set[index]) == bool(expected.original)
    assert raw.addresses[0, index].tobytes() == wanted["source_ip"]
    if expected.original:
        assert raw.header_source[index].tobytes() == expected.header_source
    detail = rows.details.get(index)
    if expected.tunnel:
        assert detail == Tunnel(**expected.tunnel)
    elif expected.socket:
        cookie, cgroup = expected.socket
        assert detail == SocketTranslation(socket_cookie=cookie, cgroup_id=cgroup)
    else:
        assert detail is None
