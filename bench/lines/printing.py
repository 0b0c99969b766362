"""CLI print: `hubble observe` of 65,535 flows as a whole process, against our server.

Output goes to a file in memory, so that no terminal slows it down. JSON lines are compared with
the packets; compact ones are counted and must show the flows' times in order.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from api.proto.flow import flow_pb2
from bench.errors import WrongAnswerError
from bench.expected import Expected, time_of
from bench.ingest_node import CAPACITY
from bench.measurement import Budget, Conditions, Measurement
from bench.node import Node, replaying
from bench.processes import program, run
from bench.recorded import record
from bench.reference import Packet

_LINE: Final = "print"
_SAMPLES: Final = 4_096 * 18
_BUDGETS_S: Final = {"compact": 0.5, "json": 0.8}

Check = Callable[[Sequence[bytes]], None]


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Seconds for compact and JSON, the Go command line beside ours on the same server."""
    recorded = record(conditions.folder / "print.rec", samples=_SAMPLES)
    expected = Expected(recorded.batches)
    checks: dict[str, Check] = {
        "compact": _check_compact,
        "json": lambda lines: _check_json(lines, expected),
    }
    repeats = conditions.repeats(5)
    with replaying(recorded.path) as node:
        for output, check in checks.items():
            go = conditions.go_hubble
            yield Measurement(
                line=_LINE,
                what=f"hubble observe -o {output}",
                unit="s",
                values=_times_s(program("hubble"), node, output, repeats, check),
                budget=Budget(limit=_BUDGETS_S[output], ceiling=True),
                peer=() if go is None else _times_s(go, node, output, repeats, check),
                note=f"{CAPACITY:,} flows, the whole process",
            )


def _times_s(
    hubble: Path, node: Node, output: str, repeats: int, check: Check
) -> tuple[float, ...]:
    command = [
        str(hubble),
        "observe",
        "--server",
        node.target,
        "--last",
        str(CAPACITY),
        "-o",
        output,
    ]
    times: list[float] = []
    for _ in range(repeats):
        finished = run(command)
        lines = finished.output.splitlines()
        if finished.status or len(lines) != CAPACITY:
            start = finished.output[:300].decode(errors="replace")
            raise WrongAnswerError(
                f"{hubble} observe -o {output}: exit {finished.status}, "
                f"{len(lines)} lines, expected {CAPACITY}: {start}"
            )
        check(lines)
        times.append(finished.wall_s)
    return tuple(times)


def _check_compact(lines: Sequence[bytes]) -> None:
    """Each line: a time, then who with whom; all within a second, so the text is in order."""
    last = b""
    for line in lines:
        time, _, rest = line.partition(b": ")
        if not rest or not (b" -> " in rest or b" <- " in rest or b" <> " in rest):
            raise WrongAnswerError(f"print compact: {line!r}")
        if time < last:
            raise WrongAnswerError(f"print compact: {time!r} after {last!r}")
        last = time


def _check_json(lines: Sequence[bytes], expected: Expected) -> None:
    last_ns = 0
    for index, line in enumerate(lines):
        flow = orjson.loads(line)["flow"]
        time_ns = time_of(flow["time"])
        if time_ns < last_ns:
            raise WrongAnswerError(f"print json: line {index} is older than the one before it")
        last_ns = time_ns
        expected.check_packet(f"print json: line {index}", time_ns, _packet(flow))


def _packet(flow: dict[str, Any]) -> Packet:
    ip = flow.get("IP", {})
    layers: dict[str, dict[str, int]] = flow.get("l4", {})
    layer4 = next(iter(layers), "")
    numbers = layers.get(layer4, {})
    is_icmp = layer4.startswith("ICMP")
    return Packet(
        flow_pb2.Verdict.Value(flow["verdict"]),
        ip.get("source", ""),
        ip.get("destination", ""),
        layer4,
        numbers.get("type" if is_icmp else "source_port", 0),
        numbers.get("code" if is_icmp else "destination_port", 0),
    )
