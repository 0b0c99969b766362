"""Every kind of answer in every format, to the letter.

The fixtures are one response each: packets, replies, drops, verdicts, HTTP, DNS, Kafka, sockets,
addresses without names, names without addresses, escapes, losses and node states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.commands.tree import FLOWS
from cli.flags.arguments import Arguments
from cli.flags.scan import flags_of
from cli.printers.choice import Printer, flow_printer, output_format

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Screen

CASES: dict[str, list[str]] = {
    "compact": [],
    "compact_colored": ["--color", "always", "--print-node-name", "--print-policy-names"],
    "compact_plain_names": ["--ip-translation=false"],
    "dict": ["-o", "dict", "-D"],
    "table": ["-o", "table", "--print-node-name", "-D"],
    "json": ["-o", "json", "-D"],
}


def shown(printer: Printer, responses: list[bytes]) -> str:
    text = printer.batch(responses)
    return text if isinstance(text, str) else text.decode()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch_size", [1, 100])
def test_prints_every_kind(
    name: str, batch_size: int, golden: Path, responses: list[bytes], screen: Screen
) -> None:
    arguments = Arguments(CASES[name], flags_of(FLOWS))
    arguments.read()
    printer = flow_printer(output_format(arguments), arguments, screen.surroundings())
    text = "".join(
        shown(printer, responses[start : start + batch_size])
        for start in range(0, len(responses), batch_size)
    )
    assert f"{text}{printer.finish()!s}" == (golden / f"{name}.out").read_text()
    assert screen.err == (golden / f"{name}.err").read_text()


def test_numeric_shows_addresses(responses: list[bytes], screen: Screen) -> None:
    arguments = Arguments(["--numeric"], flags_of(FLOWS))
    arguments.read()
    printer = flow_printer("compact", arguments, screen.surroundings())
    assert shown(printer, responses[:1]) == (
        "Mar  4 05:06:07.089: 10.0.0.1:40123 (ID:123) -> 10.0.0.2:8080 (ID:456) "
        "to-endpoint FORWARDED (TCP Flags: SYN)\n"
    )


def test_silent_errors_hide_node_states(responses: list[bytes], screen: Screen) -> None:
    arguments = Arguments(["-s"], flags_of(FLOWS))
    arguments.read()
    flow_printer("compact", arguments, screen.surroundings()).batch(responses)
    assert screen.err == ""


@pytest.mark.parametrize("output", ["compact", "dict", "json"])
def test_an_answer_of_no_known_kind_prints_nothing(output: str, screen: Screen) -> None:
    arguments = Arguments([], flags_of(FLOWS))
    arguments.read()
    printer = flow_printer(output, arguments, screen.surroundings())
    assert (shown(printer, [b""]), printer.finish()) == ("", "")


def test_a_table_without_flows_is_empty(screen: Screen) -> None:
    arguments = Arguments([], flags_of(FLOWS))
    arguments.read()
    assert flow_printer("table", arguments, screen.surroundings()).finish() == ""


@pytest.mark.parametrize(
    ("word", "terminal", "environ", "colored"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": ""}, False),
        ("auto", True, {"TERM": "dumb"}, False),
        ("bogus", True, {}, True),
        ("ALWAYS", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_when_lines_are_colored(
    word: str,
    terminal: bool,
    environ: dict[str, str],
    colored: bool,
    responses: list[bytes],
    screen: Screen,
) -> None:
    arguments = Arguments(["--color", word], flags_of(FLOWS))
    arguments.read()
    surroundings = screen.surroundings(environ, terminal=terminal)
    text = shown(flow_printer("compact", arguments, surroundings), responses[:1])
    assert ("\x1b[36m" in text) == colored
