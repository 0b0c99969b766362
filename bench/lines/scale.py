"""Many nodes behind one relay: what 8, 50 and 200 of them cost, on this one machine.

The nodes are cheap ones that share a process, and they all follow the clock: idle ones say every
few milliseconds how far they are, which is most of what a relay of many nodes has to do.
"""

import time
from collections.abc import Iterator
from typing import Final

from bench.lines.relay import sample_flows
from bench.measurement import Conditions, Measurement, quantile
from bench.relaying import Relay, cheap_nodes, follow_delays_ms, read_history, relaying

_LINE: Final = "scale"
_SIZES: Final = (8, 50, 200)
_ALL_FLOWS: Final = 320_000
_PER_SECOND: Final = 2_000.0
_IDLE_S: Final = 5.0


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Throughput, memory, delay and CPU time by the number of nodes."""
    flows = sample_flows(conditions.folder)
    socket = conditions.folder / "peers.sock"
    repeats = conditions.repeats(3)
    for nodes in _SIZES:
        each = _ALL_FLOWS // nodes
        arguments = ["--nodes", str(nodes), "--count", str(each)]
        arguments += ["--rate", f"{_PER_SECOND / nodes:.3f}"]
        with cheap_nodes(flows, socket, *arguments), relaying(socket, nodes=nodes) as relay:
            yield _row(nodes, "idle: CPU of the relay", "%", (_idle_percent(relay),))
            reads = [
                read_history(relay, number=each, expected=nodes * each) for _ in range(repeats)
            ]
            rates = tuple(read.count / read.seconds / 1e3 for read in reads)
            yield _row(nodes, "history, raw client", "k/s", rates)
            delays: list[float] = []
            before, began = relay.usage().cpu_s, time.monotonic()
            for _ in range(repeats):
                run = follow_delays_ms(relay, seconds=3.0)
                delays.append(quantile(run, 0.99))
            busy = (relay.usage().cpu_s - before) / (time.monotonic() - began) * 100
            yield _row(nodes, "delay in follow, 99th percentile", "ms", tuple(delays))
            yield _row(nodes, "follow, 2,000 flows/s in all: CPU of the relay", "%", (busy,))
            resident = relay.usage().resident_bytes / 2**20
            yield _row(nodes, "resident memory of the relay", "MiB", (resident,))


def _row(nodes: int, what: str, unit: str, values: tuple[float, ...]) -> Measurement:
    return Measurement(line=_LINE, what=f"{nodes} nodes: {what}", unit=unit, values=values)


def _idle_percent(relay: Relay) -> float:
    before = relay.usage().cpu_s
    time.sleep(_IDLE_S)
    return (relay.usage().cpu_s - before) / _IDLE_S * 100
