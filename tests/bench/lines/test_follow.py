from typing import cast

import pytest

from bench.emission import Emission, Run
from bench.emitter import Emitted
from bench.errors import WrongAnswerError
from bench.follower import Counts, Follower
from bench.lines import follow


class Scene:
    """An emitter and a client that gets what passes `limit` events a second."""

    def __init__(self, *, limit: float, reports: bool = True, extra: int = 0) -> None:
        self.limit = limit
        self.reports = reports
        self.extra = extra
        self.flows = self.lost = 0

    def emit(self, count: int, per_second: int) -> Run:
        missing = count // 10 if per_second > self.limit else 0
        self.flows += count - missing + self.extra
        self.lost += missing if self.reports else 0
        return Run(emitted=Emitted(written=count, refused=missing), seconds=count / per_second)

    def counts(self) -> Counts:
        return Counts(flows=self.flows, lost=self.lost)

    def wait_until_quiet(self, *, flows: int, timeout_s: float) -> Counts:
        return self.counts()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.lines.follow.time.sleep", lambda _: None)


def climb(scene: Scene) -> follow.Step:
    return follow._climb(cast("Follower", scene), cast("Emission", scene), 20_000, 1.0)


def test_climbs_to_the_last_step_without_loss() -> None:
    found = climb(Scene(limit=100_000))
    assert found.k_per_s == pytest.approx(20 * 1.25**7, rel=0.01)
    assert found.lossy_k_per_s == pytest.approx(20 * 1.25**8, rel=0.01)
    assert found.missing == pytest.approx(20_000 * 1.25**8 / 10, rel=0.01)


def test_a_client_that_gets_nothing_without_loss_is_at_zero() -> None:
    assert climb(Scene(limit=1)).k_per_s == 0


def test_a_loss_that_nobody_reports_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match="missing, 0 reported lost"):
        climb(Scene(limit=100_000, reports=False))


def test_flows_that_nobody_emitted_are_wrong() -> None:
    with pytest.raises(WrongAnswerError, match="3 flows more than"):
        climb(Scene(limit=100_000, extra=3))
