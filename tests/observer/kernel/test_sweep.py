"""What the sweep decides, row by row; the kernel's part is tested in tests/kernel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from observer.kernel import layout
from observer.kernel.sweep import Timeouts, _evict_oldest, decide

FIN, RST, ACK = 1, 4, 16
NOW = 1_000_000
TIMEOUTS = Timeouts(tcp_idle_ns=5000, other_idle_ns=500, closed_ns=50, quiet_ns=100)
NOTHING = 0
Record = NDArray[np.void]


def connection(
    *,
    protocol: int = 6,
    ages: tuple[int, int] = (0, 0),
    packets: tuple[int, int] = (1, 1),
    told: tuple[int, int] = (1, 1),
    told_ages: tuple[int, int] = (0, 0),
    flags: tuple[int, int] = (ACK, ACK),
    refused: bool = False,
) -> tuple[Record, Record]:
    key = np.zeros((), layout.CONNECTION_KEY)
    key["protocol"] = protocol
    value = np.zeros((), layout.CONNECTION)
    value["flags"] = layout.CONNECTION_REFUSED if refused else 0
    for side in (0, 1):
        row = value["side"][side]
        row["packets"], row["reported_packets"] = packets[side], told[side]
        row["last_ns"] = NOW - ages[side] if packets[side] else 0
        row["report_ns"] = NOW - told_ages[side]
        row["flags_seen"] = flags[side]
    return key, value


@pytest.mark.parametrize(
    ("row", "action"),
    [
        (connection(), NOTHING),
        (connection(ages=(4999, 9000)), NOTHING),
        (connection(ages=(5000, 9000)), layout.SWEEP_REMOVE),
        (connection(ages=(500, 0), packets=(1, 0), told=(1, 0)), layout.SWEEP_REMOVE),
        (connection(ages=(499, 0), packets=(1, 0), told=(1, 0)), NOTHING),
        (connection(protocol=17, ages=(500, 600)), layout.SWEEP_REMOVE),
        (connection(protocol=17, ages=(499, 600)), NOTHING),
        (connection(ages=(50, 50), flags=(FIN, FIN)), layout.SWEEP_REMOVE),
        (connection(ages=(49, 50), flags=(FIN, FIN)), NOTHING),
        (connection(ages=(50, 50), flags=(FIN, ACK)), NOTHING),
        (connection(ages=(50, 50), flags=(ACK, RST)), layout.SWEEP_REMOVE),
        (connection(refused=True), layout.SWEEP_REMOVE),
        (connection(packets=(2, 1), told_ages=(100, 0)), layout.SWEEP_REPORT),
        (connection(packets=(2, 1), told_ages=(99, 0)), NOTHING),
        (connection(packets=(2, 2), told_ages=(0, 100)), layout.SWEEP_REPORT),
        (connection(told_ages=(100, 100)), NOTHING),
    ],
    ids=[
        "fresh",
        "TCP one side still young",
        "TCP idle",
        "never answered",
        "not yet answered",
        "UDP idle",
        "UDP young",
        "closed",
        "just closed",
        "half closed",
        "reset",
        "refused",
        "owes",
        "owes, told lately",
        "other side owes",
        "owes nothing",
    ],
)
def test_decide(row: tuple[Record, Record], action: int) -> None:
    keys, values = np.stack([row[0]]), np.stack([row[1]])
    assert decide(keys, values, now_ns=NOW, timeouts=TIMEOUTS).tolist() == [action]


def test_an_empty_slice() -> None:
    keys, values = np.zeros(0, layout.CONNECTION_KEY), np.zeros(0, layout.CONNECTION)
    actions = decide(keys, values, now_ns=NOW, timeouts=TIMEOUTS)
    assert actions.tolist() == []
    assert _evict_oldest(actions, values).tolist() == []


def test_the_oldest_fifth_goes() -> None:
    rows = [connection(ages=(age, age)) for age in (5, 90, 10, 20, 80, 30, 40, 50, 60, 70)]
    values = np.stack([value for _, value in rows])
    actions = np.zeros(10, np.uint8)
    actions[1] = layout.SWEEP_REMOVE
    found = _evict_oldest(actions, values).tolist()
    assert found == [0, layout.SWEEP_REMOVE, 0, 0, layout.SWEEP_EVICT, 0, 0, 0, 0, 0]
