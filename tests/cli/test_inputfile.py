"""`hubble observe --input-file`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING

import pytest

from cli.app import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cli.conftest import Screen

PROGRAM = (sys.executable, "-c", "import sys; from cli.app import main; sys.exit(main())")


def flow(summary: str, **fields: str) -> str:
    more = "".join(f',"{name}":{value}' for name, value in fields.items())
    return f'{{"flow":{{"Summary":"{summary}"{more}}}}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flows.jsonl"


def observe(screen: Screen, path: Path | str, *words: str) -> int:
    screen.sink.seek(0)
    screen.sink.truncate()
    screen.warnings.clear()
    return run(["observe", "--input-file", str(path), *words], screen.surroundings())


def summaries(screen: Screen) -> list[str]:
    return [line.rpartition("(")[2].rstrip(")") for line in screen.out.splitlines()]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("compact", []),
        ("dict", ["-D"]),
        ("json", ["-D"]),
        ("table", ["-D", "--print-node-name"]),
    ],
)
def test_prints_what_a_server_would_send(
    output: str, words: list[str], screen: Screen, golden: Path
) -> None:
    assert observe(screen, golden / "flows.jsonl", "-o", output, *words) == 0
    assert screen.out == (golden / f"{output}.out").read_text()
    assert screen.err == (golden / f"{output}.err").read_text()


def test_json_reads_back(screen: Screen, golden: Path, path: Path) -> None:
    assert observe(screen, golden / "flows.jsonl", "-o", "json") == 0
    path.write_text(screen.out)
    assert observe(screen, path, "-o", "json") == 0
    assert screen.out == path.read_text()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "abcdefgh"),
        (["--all"], "abcdefgh"),
        (["--last", "0"], "abcdefgh"),
        (["--first", "0"], "abcdefgh"),
        (["--last", "3"], "fgh"),
        (["--first", "3"], "abc"),
        (["--last", "100"], "abcdefgh"),
        (["--last", "2000000"], "abcdefgh"),
        (["--verdict", "DROPPED"], "bdfh"),
        (["--verdict", "DROPPED", "--last", "1"], "h"),
        (["--verdict", "DROPPED", "--first", "2"], "bd"),
        (["--not", "--verdict", "DROPPED"], "aceg"),
        (["--denylist", "{}"], ""),
        (["--follow", "--server", "127.0.0.1:1"], "abcdefgh"),
    ],
)
def test_selection(words: list[str], wanted: str, screen: Screen, path: Path) -> None:
    verdicts = ('"FORWARDED"', '"DROPPED"')
    lines = [flow(name, verdict=verdicts[n % 2]) for n, name in enumerate("abcdefgh")]
    path.write_text("\n".join(lines))
    assert observe(screen, path, *words) == 0
    assert "".join(summaries(screen)) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--since", "2026-01-02T00:00:00Z"], "bc"),
        (["--until", "2026-01-02T00:00:00Z"], "zab"),
        (["--since", "2026-01-02", "--until", "2026-01-02"], "b"),
        (["--since", "1970-01-01"], "zabc"),
        (["--since", "1970-01-01T00:00:01Z"], "abc"),
        (["--since", "2026-01-02", "--last", "1"], "c"),
        (["--since", "2026-01-02", "--all"], "bc"),
    ],
)
def test_time_range_is_inclusive(words: list[str], wanted: str, screen: Screen, path: Path) -> None:
    lines = [flow("z")]
    for day, name in enumerate("abc", 1):
        lines.append(f'{flow(name)[:-1]},"time":"2026-01-0{day}T00:00:00Z"}}')
    path.write_text("\n".join(lines))
    assert observe(screen, path, *words) == 0
    assert "".join(summaries(screen)) == wanted


LOST = '{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"5"}}'
STATUS = '{"node_status":{"state_change":"NODE_CONNECTED","node_names":["a"]}}'


@pytest.mark.parametrize(
    ("words", "lost_is_shown"),
    [
        ([], True),
        (["--protocol", "tcp"], False),
        (["--type", "trace"], False),
        (["--not", "--protocol", "tcp"], True),
        (["--label", ""], True),
    ],
)
def test_filters_apply_to_gaps(
    words: list[str], lost_is_shown: bool, screen: Screen, path: Path
) -> None:
    path.write_text(LOST)
    assert observe(screen, path, *words) == 0
    assert ("EVENTS LOST" in screen.out) is lost_is_shown


def test_first_counts_what_is_not_printed(screen: Screen, path: Path) -> None:
    path.write_text("\n".join([STATUS, flow("a"), flow("b")]))
    assert observe(screen, path, "--first", "2") == 0
    assert summaries(screen) == ["a"]


def test_bad_lines_are_told_and_left_out(screen: Screen, path: Path) -> None:
    lines = [flow("a").encode(), b"", b"not json\x1b[31m", b'{"flow":{"Summary":5}}', b"\xff"]
    path.write_bytes(b"\n".join([*lines, flow("crlf").encode() + b"\r", flow("end").encode()]))
    assert observe(screen, path, "-s") == 0
    assert summaries(screen) == ["a", "crlf", "end"]
    assert len(screen.warnings) == 4
    head = 'level=WARN msg="A line is no flow and is left out" line_number='
    assert [each.startswith(head + str(n)) for n, each in enumerate(screen.warnings, 2)] == [
        True
    ] * 4
    assert "\x1b" not in screen.err


def test_what_is_of_a_later_version_is_told_once(screen: Screen, path: Path) -> None:
    path.write_text(
        "\n".join([flow("a", bogus="1"), flow("b", verdict='"BOGUS"'), flow("c", x="1")])
    )
    assert observe(screen, path) == 0
    assert summaries(screen) == ["a", "b", "c"]
    (warning,) = screen.warnings
    assert "bogus" in warning


def test_a_response_without_payload_prints_nothing(screen: Screen, path: Path) -> None:
    path.write_text('{}\n{"node_name":"x"}\n{"flow":null}\n{"flow":{}}\n')
    assert observe(screen, path) == 0
    assert len(screen.out.splitlines()) == 1
    assert not screen.err


def test_lines_of_any_length(screen: Screen, path: Path) -> None:
    path.write_text(f"{flow('x' * 1_000_000)}\n{flow('y')}\n")
    assert observe(screen, path) == 0
    assert [len(text) for text in summaries(screen)] == [1_000_000, 1]


def test_many_lines_keep_their_order(screen: Screen, path: Path) -> None:
    path.write_text("".join(f"{flow(str(number))}\n" for number in range(20_000)))
    assert observe(screen, path) == 0
    assert summaries(screen) == [str(number) for number in range(20_000)]
    assert observe(screen, path, "--last", "15000") == 0
    assert summaries(screen)[0] == "5000"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--protocol", "x"], 'invalid protocol filter: unknown protocol: "x"'),
        (["--node-name", "a/b/c"], "too many slashes in pattern"),
        (["--port-forward"], "cannot use --input-file and --auto-port-forward together"),
        (
            ["-o", "json", "--field-mask", "bogus"],
            'failed to construct field mask: proto: invalid path "bogus" for message "flow.Flow"',
        ),
    ],
)
def test_mistakes(words: list[str], text: str, screen: Screen, path: Path) -> None:
    path.write_text(flow("a"))
    assert observe(screen, path, *words) == 1
    assert (screen.out, screen.err) == ("", f"{text}\n")


def test_field_masks_do_not_apply(screen: Screen, path: Path) -> None:
    path.write_text(flow("a"))
    assert observe(screen, path, "-o", "json", "--field-mask", "time") == 0
    assert screen.out == f"{flow('a')}\n"


def test_what_cannot_be_read(screen: Screen, tmp_path: Path) -> None:
    assert observe(screen, tmp_path / "none") == 1
    assert screen.err == f"open {tmp_path / 'none'}: no such file or directory\n"
    assert observe(screen, tmp_path) == 1
    assert screen.err == f"read {tmp_path}: is a directory\n"


def test_agent_events_are_not_read_from_files(screen: Screen, path: Path) -> None:
    assert run(["observe", "agent-events", "--input-file", str(path)], screen.surroundings()) == 1
    assert screen.err == "cannot use --input-file here: only flows are read from files\n"


def test_stdin() -> None:
    lines = "".join(f"{flow(name)}\n" for name in "abc")
    done = _program(["--last", "2"], lines.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.endswith(b"(b)") for line in done.stdout.splitlines()] == [True, False]


def _program(words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    line = [*PROGRAM, "observe", "--input-file", "-", *words]
    return subprocess.run(line, input=data, capture_output=True, check=False)


async def test_a_pipe_is_printed_as_it_comes() -> None:
    words = (*PROGRAM, "observe", "--input-file", "-")
    process = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for name in "abc":
        process.stdin.write(f"{flow(name)}\n".encode())
        assert (await process.stdout.readline()).endswith(f"({name})\n".encode())
    process.stdin.close()
    assert await process.wait() == 0


def test_nothing_is_left_open(screen: Screen, path: Path) -> None:
    path.write_text("".join(f"{flow(str(number))}\n" for number in range(50)))
    before = len(os.listdir("/proc/self/fd"))
    for words in ([], ["--first", "1"], ["--protocol", "x"]):
        observe(screen, path, *words)
    assert len(os.listdir("/proc/self/fd")) == before
