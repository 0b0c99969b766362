"""Reports of gaps: sums, ranges and when they are due."""

from observer.query.gaps import Gaps


def test_a_patient_reader_reports_at_once_and_then_at_most_each_second() -> None:
    now_s = 5.0
    gaps = Gaps(patient=True, clock_s=lambda: now_s)
    assert gaps.wait_s is None
    gaps.add(3, first_ns=10, last_ns=12)
    assert gaps.wait_s == 0
    lost = gaps.take()
    assert (lost.count, lost.first_ns, lost.last_ns, lost.cpu) == (3, 10, 12, None)
    assert gaps.wait_s is None
    gaps.add(4, first_ns=20, last_ns=22)
    gaps.add(5, first_ns=30, last_ns=32)
    assert gaps.wait_s == 1
    now_s = 5.75
    assert gaps.wait_s == 0.25
    now_s = 7
    assert gaps.wait_s == 0
    lost = gaps.take()
    assert (lost.count, lost.first_ns, lost.last_ns) == (9, 20, 32)


def test_others_report_each_gap_at_once() -> None:
    gaps = Gaps(patient=False, clock_s=lambda: 5.0)
    for count in (1, 2):
        gaps.add(count, first_ns=1, last_ns=2)
        assert gaps.wait_s == 0
        assert gaps.take().count == count
