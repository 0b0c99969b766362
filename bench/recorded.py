"""The recorded mix as a file that `hubble-server --replay` plays: objects first, then samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from bench.cluster import Numbers, objects_of
from bench.errors import WrongAnswerError
from bench.ingest_node import SEED
from bench.workload import SyntheticNode
from observer.decode.decoder import Decoder
from observer.decode.layout import DROP, EXT, TRACE, VERDICT, VERDICT_FLAG_AUDIT
from observer.kernel.recording import RecordedChange, Recorder
from observer.ledger import Ledger
from observer.samples import EXT_BYTES, SampleBatch

_CHUNK: Final = 16_384
_EXT_VERSION_AT: Final = 15
_VERDICTS_PER_AUDIT: Final = 200  # verdicts are a fifth of the mix


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recording and what is in it."""

    path: Path
    batches: tuple[SampleBatch, ...]
    rows_per_part: int
    """Samples that can be decoded, in each part."""


def record(
    path: Path,
    *,
    samples: int,
    batch_rows: int = 4_096,
    parts: int = 1,
    pause_s: float = 0.0,
    later_ns: int = 0,
) -> Recorded:
    """Write a recording.

    Args:
        path: a new file.
        samples: how many in each part; 0 leaves the cluster's objects alone.
        batch_rows: samples in a batch, at most.
        parts: how often.
        pause_s: silence between two parts, in the recording's own time.
        later_ns: by so much all times are later than those of the mix.

    Raises:
        WrongAnswerError: the disk was too slow, so samples are missing.
    """
    node, recorder = SyntheticNode(SEED), Recorder(path)
    numbers = Numbers.of(node)
    for document in objects_of(node):
        recorder.change(RecordedChange(change="ADDED", object=document))
    batches: list[SampleBatch] = []
    for part in range(parts):
        pause_ns = later_ns + int(part * pause_s * 1e9)
        for batch in _batches(node, numbers, samples, batch_rows):
            batches.append(replace(batch, mono_ns=batch.mono_ns + pause_ns))
            recorder.batch(batches[-1])
    recorder.close()
    if recorder.dropped:
        raise WrongAnswerError(f"record mix: {recorder.dropped} samples not written to {path}")
    rows = _rows(batches[: len(batches) // parts])
    return Recorded(path=path, batches=tuple(batches), rows_per_part=rows)


def _rows(batches: Sequence[SampleBatch]) -> int:
    decoder = Decoder(Ledger())
    return sum(decoder.decode(batch).count for batch in batches)


def _batches(
    node: SyntheticNode, numbers: Numbers, samples: int, batch_rows: int
) -> Iterator[SampleBatch]:
    for start in range(0, samples, _CHUNK):
        whole = node.batch(min(_CHUNK, samples - start))
        renumber(whole, numbers)
        _audit_some(whole)
        for first in range(0, len(whole), batch_rows):
            rows = slice(first, first + batch_rows)
            yield SampleBatch(
                samples=whole.samples[rows],
                mono_ns=whole.mono_ns[rows],
                cpus=whole.cpus[rows],
                wall_offset_ns=whole.wall_offset_ns,
            )


def renumber(batch: SampleBatch, numbers: Numbers) -> None:
    """Put the server's identities, endpoint ids and cookies into the samples, in place."""
    for kind, header, identities in (
        (1, DROP, ("src_label", "dst_label")),
        (4, TRACE, ("src_label", "dst_label")),
        (5, VERDICT, ("remote_label",)),
    ):
        plain = (batch.samples[:, 0] == kind) & (batch.samples[:, _EXT_VERSION_AT] == 1)
        rows = np.flatnonzero(plain)
        size = header.itemsize
        found = batch.samples[rows, :size].view(header)[:, 0]
        for field in identities:
            found[field] = numbers.identities[found[field]]
        found["common"]["source"] = numbers.endpoint_ids[found["common"]["source"]]
        if kind == 5:
            found["cookie"] = numbers.cookies[found["cookie"]]
        batch.samples[rows, :size] = found.view(np.uint8).reshape(len(rows), size)
        ext = batch.samples[rows, size : size + EXT_BYTES].view(EXT)[:, 0]
        ext["rule_cookie"] = numbers.cookies[ext["rule_cookie"]]
        batch.samples[rows, size : size + EXT_BYTES] = ext.view(np.uint8).reshape(len(rows), -1)


def _audit_some(batch: SampleBatch) -> None:
    """Let one sample in a thousand be an audited verdict: something rare to search for."""
    size = VERDICT.itemsize
    for row in np.flatnonzero(batch.samples[:, 0] == 5)[::_VERDICTS_PER_AUDIT]:
        header = batch.samples[row, :size].view(VERDICT)
        if header["common"]["version"][0] == 1:
            header["verdict"] = 0
            header["flags"] |= VERDICT_FLAG_AUDIT
