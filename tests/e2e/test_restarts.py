"""Packets and verdicts do not notice that their server is killed and started again."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab.session import Lab, publish
from tests.e2e.conftest import PROGRAMS, RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RATE = 10_000
DENIED_RATE = 1_000
PORT = 7777
PROGRAM = Path(__file__).with_name("numbered.py")
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: numbered, namespace: default}
spec:
  podSelector: {matchLabels: {class: deathstar}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {org: empire}}}]
      ports: [{protocol: UDP, port: 7777}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-answers, namespace: default}
spec:
  podSelector: {matchLabels: {class: tiefighter}}
  policyTypes: [Ingress]
"""


@contextmanager
def in_pod(lab: Lab, pod_key: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    pod = lab.topology.pod(pod_key)
    with subprocess.Popen(
        [sys.executable, PROGRAM, *words],
        preexec_fn=lab.entrance(pod), env=lab.environment(pod), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def result(process: subprocess.Popen[str]) -> dict[str, int]:
    """End a program in a pod and read what it saw."""
    process.terminate()
    output, _ = process.communicate(timeout=60)
    found: dict[str, int] = json.loads(output)
    return found


def kill_while_it_loads(command: Sequence[str | Path]) -> None:
    """Start a server and kill it when it has just begun to load its programs."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "listening" in line:
                break
        tasks = Path(f"/proc/{process.pid}/task")
        while not any(each.read_text() for each in tasks.glob("*/children")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        process.kill()


def told_as_lost(server: RunningServer) -> int:
    """Events that its table tells as lost."""
    shown = server.hubble("observe", "--all").stdout
    counts = re.findall(r"EVENTS LOST: PERF_EVENT_RING_BUFFER CPU\(\d+\) ([\d,]+) ", shown)
    return sum(int(count.replace(",", "")) for count in counts)


@pytest.mark.parametrize(("attach", "kill_count"), [("tcx", 20), ("clsact", 4)])
def test_kills_under_load(
    lab: Lab, node_name: str, tmp_path: Path, attach: str, kill_count: int
) -> None:
    policy = tmp_path / "numbered.yaml"
    policy.write_text(POLICY)
    publish(policy, lab)
    words: list[str | Path] = [
        "--node-name", node_name, "--state", lab.state,
        "--netns", lab.node_netns(node_name), "--attach", attach,
    ]  # fmt: skip
    half_started: list[str | Path] = [
        PROGRAMS / "hubble-server", "--socket-path", tmp_path / "hubble.sock", *words
    ]  # fmt: skip
    target = next(pod for pod in lab.topology.pods if pod.name.startswith("deathstar"))
    address = str(target.addresses[0])
    with ExitStack() as stack:
        with running_server(tmp_path, *words):
            receiver = stack.enter_context(in_pod(lab, target.key, "receive", str(PORT)))
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "listening\n"
            allowed, denied = (
                stack.enter_context(
                    in_pod(lab, pod, "send", address, str(PORT), str(rate), mark)
                )
                for pod, rate, mark in (
                    ("tiefighter", RATE, "good"), ("xwing", DENIED_RATE, "evil")
                )
            )  # fmt: skip
        for number in range(kill_count):
            if number % 2:
                kill_while_it_loads(half_started)
                continue
            with running_server(tmp_path, *words) as server:
                if number == kill_count - 2:
                    assert told_as_lost(server) > 0  # what nobody read in between
                    drops = server.hubble("observe", "--last", "1", "--verdict", "DROPPED")
                    assert "default/xwing" in drops.stdout
        sent, evil, seen = result(allowed), result(denied), result(receiver)
    assert seen == {"good": sent["sent"]}, f"received, not sent: {sent}"
    assert sent["echoed"] == sent["sent"]
    assert evil["sent"] > 0
    assert evil["echoed"] == 0
