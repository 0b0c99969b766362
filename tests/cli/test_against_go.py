"""The same command lines given to the Go command line and to ours, against one server.

GO_HUBBLE names the program to compare with (`make test GO_HUBBLE=/path`); without it there is
nothing to compare. What is different on purpose stands in docs/cli.md and not here.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bench.node import replaying
from bench.processes import program
from bench.recorded import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GO_HUBBLE = os.environ.get("GO_HUBBLE", "")
pytestmark = pytest.mark.skipif(not GO_HUBBLE, reason="GO_HUBBLE names no Go hubble")

# What Go's default mask leaves out, its lines cannot show; ours do.
OBSERVE = "observe --use-default-field-masks=false"
OBSERVE_LINES = [
    "--last 5",
    "--first 5",
    "--last 5 --first 5",
    "--first 3 --all",
    "--first 3 --follow",
    "--last 3 --all",
    "--since x",
    "--until y",
    "--since 2024-13-01",
    "--last -1",
    "--last x",
    "--last 18446744073709551616",
    "--follow=maybe",
    "--since 3d",
    "--until 2020-01-01 --last 3",
    "--since 0 --last 2",
    "--first 0 --last 0 --type drop",
    "-o bogus",
    "-o table --follow",
    "--last 3 -o table",
    "--last 3 -o tab",
    "--last 3 -o dict",
    "--last 3 -o JSON",
    "--last 3 -o jsonpb",
    "--last 3 --numeric",
    "--last 3 --ip-translation=false",
    "--last 3 --color always",
    "--last 3 --color bogus",
    "--last 3 -o dict --color always",
    "--last 3 -o table --color always",
    "--last 3 -o json --color always",
    "--last 3 --print-node-name -o table",
    "--last 3 --print-node-name -o dict",
    "--print-raw-filters",
    "--print-raw-filters --pod a/b --not --verdict DROPPED",
    "--print-raw-filters --from-pod x --to-label a=b --http-status 5+",
    "--field-mask time,verdict --last 2 -o json",
    "--field-mask time --last 2",
    "--field-mask l4.TCP.source_port -o json --last 2",
    "--bogus",
    "-z",
    "--last",
    "extra words --last 2",
    "--not",
    "--not --not --verdict DROPPED",
    "--verdict bogus",
    "--verdict dropped",
    "--type bogus",
    "--type trace:bogus",
    "--type drop:x",
    "--type 999:3",
    "--type l7",
    "--ip 1.2.3",
    "--ip 10.0.0.0/33",
    "--from-ip x",
    "--port 70000",
    "--port x",
    "--protocol bogus",
    "--protocol tcp --last 2",
    "--tcp-flags BOGUS",
    "--tcp-flags SYN,ACK --last 2",
    "--label 'a in'",
    "--label 'a=b,c'",
    "--identity bogus",
    "--identity world --last 2",
    "--identity 0x2 --last 1",
    "--identity 11 --last 1",
    "--ipv4 --ipv6",
    "-4 -6",
    "-4 --last 2",
    "-6 --last 2",
    "--ip-version v5",
    "--http-method GET",
    "--http-path '['",
    "--http-url '['",
    "--http-header a",
    "--http-header a:b",
    "--http-status 999",
    "--http-status 2++",
    "--fqdn a.*",
    "--dns-query '['",
    "--node-name ''",
    "--node-name a/b/c",
    "--cluster x --last 2",
    "--traffic-direction up",
    "--traffic-direction ingress --last 2",
    "--workload a/b/c",
    "--workload Deployment/app-1 --last 2",
    "--service x",
    "--namespace ns-1 --last 2",
    "-n ns-1 --last 2",
    "-A --pod x",
    "-A --pod a/x",
    "-n a --pod b/x",
    "--pod ns-1/ --last 2",
    "--from-all-namespaces --last 1",
    "--to-namespace ns-1 --from-namespace ns-2 --last 2",
    "--uuid x",
    "--trace-id x",
    "--ip-trace-id 5",
    "--ip-trace-id x",
    "--ip-trace-id 0",
    "--drop-reason-desc bogus",
    "--drop-reason-desc policy_denied --last 2",
    "--cel-expression 'x'",
    "--cel-expression '_flow.verdict == Verdict.DROPPED' --last 2",
    "--interface eth0",
    "--snat-ip 1.1.1.1",
    "--encrypted",
    "--unencrypted --last 1",
    "--reply --last 2",
    '--allowlist \'{"verdict":["DROPPED"]}\' --last 2',
    "--time-format bogus --last 1",
    "--time-format RFC3339Nano --last 1",
    "--time-format RFC1123Z --last 1",
    "--time-format YearMonthDayHour --last 1",
    "--time-format rfc3339micro --last 1",
    "--print-policy-names --last 3",
    "-s --last 1",
    "--input-file /",
    "--input-file f.jsonl",
    "--input-file f.jsonl --verdict DROPPED",
    "--input-file f.jsonl --last 3",
    "--input-file f.jsonl --first 3",
    "--input-file f.jsonl -P",
    "--input-file f.jsonl -o dict --last 2",
    "--input-file f.jsonl --since 2023-11-14T22:30:00.1Z",
    "--input-file f.jsonl --follow --last 2",
    "--tls-client-cert-file x",
    "--tls-client-cert-file x --tls-client-key-file y",
    "--basic-auth-username x",
    "--timeout x",
    "--timeout 5",
    "--request-timeout 1h1",
    "--port-forward-port 70000",
    "--port-forward-port x",
    "--help=maybe",
    "--debug=x",
    "--tls --tls-ca-cert-files /nonexistent --last 1",
]
SERVER_LINES = [
    "observe agent-events --last 3",
    "observe agent-events --last 3 -o json",
    "observe agent-events --last 3 -o dict",
    "observe agent-events --last 3 -o table",
    "observe agent-events -o bogus",
    "observe agent-events --pod x",
    "observe agent-events --last 3 --print-node-name",
    "observe agent-events --since x",
    "observe debug-events --last 3",
    "observe debug-events -o json",
    "status -o bogus",
    "status --bogus",
    "list nodes",
    "list namespaces",
    "list namespaces -o wide",
    "list namespaces -o bogus",
    "list nodes -o bogus",
    "list namespaces -o json",
]
OTHER_LINES = [
    "bogus",
    "observ",
    "stat",
    "--bogus",
    "config get bogus",
    "config get server",
    "config set",
    "config set a",
    "config set server",
    "config set timeout 7",
    "config set tls maybe",
    "config get a b",
    "config reset a b",
    "config set server a b",
    "config set tls-ca-cert-files a,b",
    "config get tls-ca-cert-files",
    "observe --server 127.0.0.1:1",
    "status --server 127.0.0.1:1",
    "list nodes --server 127.0.0.1:1",
    "observe --server unix:///nonexistent",
    "observe --server tls://127.0.0.1:1",
]


class Said(NamedTuple):
    """How a command line ended."""

    status: int
    out: str
    err: str
    settings: str
    """The configuration file that it left."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    recorded = record(tmp_path_factory.mktemp("go") / "flows.rec", samples=4_096)
    with replaying(recorded.path) as node:
        yield node.target


@pytest.fixture(scope="module")
def flows_file(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("file") / "f.jsonl"
    words = [str(program("hubble")), "observe", "--server", server, "--last", "60", "-o", "json"]
    path.write_bytes(subprocess.run(words, capture_output=True, check=True).stdout)
    return path


def said(hubble: str | Path, line: str, folder: Path, home: Path) -> Said:
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}
    done = subprocess.run(
        [str(hubble), *shlex.split(line)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=60,
        check=False,
    )
    settings = home / ".config/hubble/config.yaml"
    return Said(
        status=done.returncode,
        out=done.stdout.replace(str(home), "~"),
        # Go's protobuf writes one kind of space or another, so that nobody compares its texts.
        err=done.stderr.replace("\xa0", " ").replace(str(home), "~"),
        settings=settings.read_text() if settings.exists() else "",
    )


def check_same(line: str, folder: Path, tmp_path: Path) -> None:
    ours = said(program("hubble"), line, folder, tmp_path / "ours")
    assert ours == said(GO_HUBBLE, line, folder, tmp_path / "go")


@pytest.mark.parametrize("words", OBSERVE_LINES)
def test_observe(words: str, server: str, flows_file: Path, tmp_path: Path) -> None:
    check_same(f"{OBSERVE} --server {server} {words}", flows_file.parent, tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        f"{words} -o {output}"
        for output in ("compact", "dict", "table", "json")
        for words in ("", "--print-node-name", "--print-policy-names", "--numeric")
    ],
)
def test_all_flows(words: str, server: str, tmp_path: Path) -> None:
    check_same(f"{OBSERVE} --server {server} --all {words}", tmp_path, tmp_path)


@pytest.mark.parametrize("line", SERVER_LINES)
def test_other_questions(line: str, server: str, tmp_path: Path) -> None:
    check_same(f"{line} --server {server}", tmp_path, tmp_path)


@pytest.mark.parametrize("line", OTHER_LINES)
def test_without_a_server(line: str, tmp_path: Path) -> None:
    check_same(line, tmp_path, tmp_path)
