import json
from pathlib import Path

from bench import report
from bench.machine import Machine
from bench.measurement import Budget, Measurement, Skipped

MACHINE = Machine(
    taken="2026-01-02T03:04:05+00:00",
    cpus=2,
    cpu_model="abacus",
    memory_bytes=1 << 30,
    kernel="6.18",
    python="3.11.9",
    load_before=0.25,
)
RESULTS = (
    Measurement(
        line="startup",
        what="hubble version",
        unit="ms",
        values=(70.0, 60.0, 95.0),
        budget=Budget(limit=80, ceiling=True),
        peer=(20.0,),
    ),
    Measurement(
        line="getflows",
        what="raw",
        unit="k/s",
        values=(512.4,),
        budget=Budget(limit=600, ceiling=False),
        note="one repeat",
    ),
    Skipped(line="follow", reason="needs root"),
)


def test_table() -> None:
    assert report.table(RESULTS).splitlines() == [
        "line      what            ours   spread  n  unit  budget        Go  ours/Go",
        "startup   hubble version    70    60-95  3  ms    <= 80   ok    20     3.50",
        "getflows  raw              512  512-512  1  k/s   >= 600  OVER",
        "            one repeat",
        "follow    not measured: needs root",
    ]


def test_json_keeps_every_repeat(tmp_path: Path) -> None:
    path = tmp_path / "results" / "now.json"
    report.save(path, report.as_json(MACHINE, RESULTS, quick=True))
    document = json.loads(path.read_text())
    assert document["machine"]["kernel"] == "6.18"
    assert document["quick"] is True
    startup, getflows, follow = document["results"]
    assert startup["values"] == [70.0, 60.0, 95.0]
    assert (startup["value"], startup["peer_value"], startup["within_budget"]) == (70, 20, True)
    assert getflows["within_budget"] is False
    assert follow == {"line": "follow", "skipped": "needs root"}
