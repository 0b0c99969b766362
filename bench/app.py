"""`leavitt-bench`: measures the lines of the budgets and says which of them are kept.

Runs the lines asked for, one after the other, prints the table and writes the JSON. The exit code
is 0 when all that was measured gave right answers, over the budget or not, since a loaded machine
is slow; it is 1 when an answer was wrong, and 2 for wrong arguments.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from bench import report
from bench.errors import NotMeasurableError, WrongAnswerError
from bench.lines import (
    datapath,
    filters,
    follow,
    get_flows,
    ingest,
    lag,
    memory,
    policy,
    printing,
    relay,
    scale,
    soak,
    startup,
)
from bench.machine import this_machine
from bench.measurement import Conditions, Measurement, Skipped

Line = Callable[[Conditions], Iterable[Measurement]]

LINES: Final[dict[str, Line]] = {
    "ingest": ingest.measure,
    "memory": memory.measure,
    "filter": filters.measure,
    "getflows": get_flows.measure,
    "print": printing.measure,
    "follow": follow.measure,
    "lag": lag.measure,
    "relay": relay.measure,
    "scale": scale.measure,
    "datapath": datapath.measure,
    "startup": startup.measure,
    "policy": policy.measure,
}
ON_REQUEST: Final[dict[str, Line]] = {"soak": soak.measure}
"""Lines that only run when they are named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the process's exit code."""
    options = _parser().parse_args(arguments)
    started = datetime.now().astimezone()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    machine = this_machine(started)
    results: list[report.Result] = []
    with tempfile.TemporaryDirectory(prefix="leavitt-bench-") as folder:
        conditions = Conditions(
            quick=options.quick,
            folder=Path(folder),
            go_hubble=options.go_hubble,
            go_client=options.go_client,
            soak_minutes=options.minutes,
            soak_events_per_s=options.rate,
        )
        failures = _run(list(dict.fromkeys(options.lines)) or list(LINES), conditions, results)
    print(report.table(results))
    where = options.json or Path("bench/results", f"{started:%Y-%m-%dT%H%M%S}.json")
    report.save(where, report.as_json(machine, results, quick=options.quick))
    print(f"\nload before {machine.load_before} on {machine.cpus} CPUs; written to {where}")
    for failure in failures:
        print(f"WRONG: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _run(
    names: Sequence[str], conditions: Conditions, results: list[report.Result]
) -> list[WrongAnswerError]:
    failures: list[WrongAnswerError] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        folder = conditions.folder / name
        folder.mkdir()
        try:
            for measurement in (LINES | ON_REQUEST)[name](replace(conditions, folder=folder)):
                results.append(measurement)  # noqa: PERF402 - keeps those before a failure
        except NotMeasurableError as reason:
            results.append(Skipped(line=name, reason=str(reason)))
        except WrongAnswerError as failure:
            results.append(Skipped(line=name, reason=f"WRONG: {failure}"))
            failures.append(failure)
    return failures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leavitt-bench",
        description="Measure the budgets: our figure, its spread, the budget, Go's figure.",
    )
    parser.add_argument(
        "lines",
        nargs="*",
        type=_line,
        metavar="LINE",
        help=f"{', '.join(LINES)}; default: all of these. Only if named: {', '.join(ON_REQUEST)}",
    )
    parser.add_argument("--quick", action="store_true", help="few repeats: does it work at all?")
    parser.add_argument("--minutes", type=float, default=10.0, help="soak: for so long")
    parser.add_argument(
        "--rate", type=int, default=200_000, metavar="N", help="soak: events per second"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="default: bench/results/<date>.json"
    )
    parser.add_argument(
        "--go-hubble", type=_executable, metavar="PATH", help="a Go hubble to compare with"
    )
    parser.add_argument(
        "--go-client", type=_executable, metavar="PATH", help="a Go GetFlows client to compare with"
    )
    return parser


def _line(text: str) -> str:
    known = [*LINES, *ON_REQUEST]
    if text not in known:
        raise argparse.ArgumentTypeError(f"no such line: {text}, know {', '.join(known)}")
    return text


def _executable(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no such program: {text}")
    return path.absolute()
