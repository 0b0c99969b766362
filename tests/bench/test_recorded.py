from pathlib import Path

import numpy as np
import pytest

from bench.cluster import Numbers, objects_of
from bench.recorded import record
from bench.workload import FIRST_IDENTITY, LABEL_SETS, SyntheticNode
from observer.addresses import AddressBook
from observer.decode.decoder import Decoder
from observer.enrich import Enricher
from observer.kernel.recording import RecordedChange, Recording
from observer.ledger import Ledger
from observer.pipeline import Pipeline
from observer.samples import SampleBatch
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager

SAMPLES = 2_000


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "mix.rec"
    record(path, samples=SAMPLES, batch_rows=300, parts=2, pause_s=5)
    return path


def test_numbers_are_distinct() -> None:
    numbers = Numbers.of(SyntheticNode(1))
    given = numbers.identities[FIRST_IDENTITY : FIRST_IDENTITY + LABEL_SETS]
    assert len(set(given.tolist())) == LABEL_SETS
    assert numbers.identities[2] == 2
    assert numbers.cookies[0] == 0
    assert numbers.cookies[1:].all()


def test_objects_come_first_then_both_parts(recording: Path) -> None:
    items = list(Recording(recording).items())
    objects = len(list(objects_of(SyntheticNode(1))))
    assert all(isinstance(item, RecordedChange) for item in items[:objects])
    batches = [item for item in items[objects:] if isinstance(item, SampleBatch)]
    assert len(batches) == len(items) - objects
    assert sum(map(len, batches)) == 2 * SAMPLES
    assert max(map(len, batches)) == 300
    times = np.concatenate([batch.mono_ns for batch in batches])
    gaps = np.diff(times)
    assert gaps.min() > 0
    assert gaps.max() > 5 * 10**9
    assert int(np.argmax(gaps)) == SAMPLES - 1


def test_rows_per_part_is_what_a_server_will_append(tmp_path: Path) -> None:
    found = record(tmp_path / "mix.rec", samples=SAMPLES)
    ledger = Ledger()
    decoder = Decoder(ledger)
    assert found.rows_per_part == sum(decoder.decode(batch).count for batch in found.batches)
    assert 0.98 * SAMPLES < found.rows_per_part <= SAMPLES


async def test_a_server_knows_everyone_in_it(recording: Path) -> None:
    interns, ledger, state = Interns(), Ledger(), ClusterState()
    book = AddressBook(interns, cluster_name="default")
    table = FlowTable(capacity=8191, interns=interns, seed=1)
    pipeline = Pipeline(Decoder(ledger), Enricher(book, interns), table, ledger)
    manager = EndpointManager(
        node_name="bench-1",
        cluster_name="default",
        state=state,
        book=book,
        datapath=None,
        interfaces=None,
    )
    for item in Recording(recording).items():
        if isinstance(item, SampleBatch):
            pipeline.feed(item)
            continue
        found = read_object(item.object, source="test")
        assert found is not None, item.object["kind"]
        state.apply(Change(kind=ChangeKind.ADDED, object=found, document=item.object))
        if found.key.name == "policy-49":
            await manager.reconcile()
    columns = {name: column[: table.head] for name, column in table.columns.items()}
    pods = {ref for ref, endpoint in interns.endpoints.items() if endpoint.pod_name}
    labelled = {ref for ref, endpoint in interns.endpoints.items() if len(endpoint.labels) > 5}
    refs = np.stack([columns["source_ref"], columns["destination_ref"]])
    named = np.isin(refs, list(pods)).any(axis=0)
    assert named.mean() > 0.97
    assert pods <= labelled
    assert (columns["direction"] != 0).mean() > 0.8
    assert (columns["policies_ref"] != 0).any()
    assert 0.0002 < (columns["verdict"] == 4).mean() < 0.003
