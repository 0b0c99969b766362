"""Which rounds count: on a machine that others load, a slow bridge hides what programs cost."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.errors import NotMeasurableError
from bench.lines import datapath
from bench.lines.datapath import Case, Round, Watching
from bench.measurement import Conditions, Measurement
from bench.traffic import Mode
from observer.ledger import Ledger

SLOW, QUICK = 90_000.0, 130_000.0


def a_round(trips: float, ratio: float) -> Round:
    cases = [Case(mode=Mode.UDP, watching=each, policy_size=1) for each in Watching]
    return Round(
        plain={mode: [trips, trips, 1.0] for mode in Mode}, ratios=dict.fromkeys(cases, ratio)
    )


def measured(
    rounds: list[Round], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[Measurement]:
    bed = SimpleNamespace(reader=SimpleNamespace(ledger=Ledger()))
    coming = iter(rounds)
    monkeypatch.setattr(datapath, "_bed", lambda *_: bed)
    monkeypatch.setattr(datapath, "_round", lambda *_: next(coming))
    monkeypatch.setattr(datapath, "_ROUNDS", len(rounds))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return datapath.measure(Conditions(quick=False, folder=folder))


def test_only_valid_rounds_are_held_against_the_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rounds = [a_round(QUICK, 0.95), a_round(SLOW, 0.5), a_round(QUICK, 0.95)]
    rows = {row.what: row for row in measured(rounds, monkeypatch, tmp_path)}
    assert len(rows["UDP round trips, plain bridge"].values) == 9
    row = rows["UDP round trips, aggregated, 1 entries"]
    assert row.values == (0.95, 0.95)
    assert row.within_budget is False
    assert rows["UDP round trips, per packet, 1 entries"].within_budget is True
    assert rows["UDP round trips, off, 1 entries"].budget is None


def test_if_most_are_void_nothing_is_held_against_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rounds = [a_round(SLOW, 0.5), a_round(QUICK, 0.9), a_round(SLOW, 0.6)]
    found: list[Measurement] = []
    with pytest.raises(NotMeasurableError, match="void: 90 k round trips/s on the bridge"):
        found.extend(measured(rounds, monkeypatch, tmp_path))
    assert [row.values for row in found][-1] == (0.5, 0.9, 0.6)
    assert {row.budget for row in found} == {None}
