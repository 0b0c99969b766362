import numpy as np

from bench.workload import ADDRESSES, ENDPOINTS, LABEL_SETS, Mix, SyntheticNode
from observer.decode.decoder import Decoder
from observer.ledger import Ledger
from observer.table.interns import Interns


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second, other = SyntheticNode(1), SyntheticNode(1), SyntheticNode(2)
    batches = [(first.batch(200), second.batch(200)) for _ in range(2)]
    for one, two in batches:
        np.testing.assert_array_equal(one.samples, two.samples)
        np.testing.assert_array_equal(one.mono_ns, two.mono_ns)
    assert not np.array_equal(batches[0][0].samples, other.batch(200).samples)


def test_shares_are_those_of_the_recorded_mix() -> None:
    ledger = Ledger()
    rows = Decoder(ledger).decode(SyntheticNode(1).batch(20_000))
    assert (rows.count, ledger.snapshot()) == (20_000, ())
    shares = np.bincount(rows.columns["kind"], minlength=8) / rows.count
    np.testing.assert_allclose(shares[[1, 5, 4]], [0.1, 0.2, 0.7], atol=0.02)
    ipv6 = np.mean(rows.columns["ip_version"] == 2)
    np.testing.assert_allclose(ipv6, 0.3, atol=0.02)
    assert (np.diff(rows.columns["time_ns"]) > 0).all()


def test_time_goes_on_from_batch_to_batch() -> None:
    node = SyntheticNode(1)
    before = node.batch(10).mono_ns[-1]
    assert node.batch(10).mono_ns[0] > before


def test_the_cluster_has_the_size_of_the_recorded_mix() -> None:
    node, interns = SyntheticNode(1, Mix(odd_share=0.0)), Interns()
    book = node.address_book(interns)
    endpoints = [endpoint for _, endpoint in interns.endpoints.items()]
    assert len({endpoint.labels for endpoint in endpoints}) == LABEL_SETS + 1
    assert len(endpoints) == ENDPOINTS + 1
    addresses = [node.address(number, ipv6=False) for number in range(ADDRESSES)]
    entries = book.entries(np.frombuffer(b"".join(addresses), np.uint64).reshape(-1, 2))
    known = np.count_nonzero(entries)
    assert ADDRESSES // 2 < known < ADDRESSES
