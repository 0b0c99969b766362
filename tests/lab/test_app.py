"""`hubble-lab` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.app import main
from lab.namespaces import netns_names
from lab.network import run_ip
from lab.processes import birth_of
from lab.programs import typed
from lab.runs import Run
from lab.session import open_lab

LAB = str(Path(sys.executable).with_name("hubble-lab"))
Invoke = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """A run of this test alone, taken away at its end."""
    run = Run(name=f"a{os.getpid()}"[:8])
    yield run
    run.remove()


def hubble_lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAB, *arguments], capture_output=True, text=True, check=False, timeout=50
    )


@pytest.mark.e2e
def test_up_status_exec_down(run: Run, two_nodes_file: Path) -> None:
    up = hubble_lab("up", str(two_nodes_file), "--plain", "--run", run.name)
    assert up.returncode == 0, up.stderr
    assert f"run {run.name} is up: 2 nodes, 3 pods" in up.stdout

    again = hubble_lab("up", str(two_nodes_file), "--plain", "--run", run.name)
    assert again.returncode == 1
    assert again.stderr == (
        f"hubble-lab: run {run.name} is up already: {typed('hubble-lab')} down --run {run.name}\n"
    )

    status = hubble_lab("status", "--run", run.name)
    assert "default/visitor" in status.stdout
    assert "10.244.1.10,fd00:244:1::10  web[" in status.stdout

    landed = hubble_lab(
        *("exec", "--run", run.name, "visitor", "--"),
        *("curl", "-sS", "-m5", "-XPOST", "web.shop.svc.cluster.local/v1/request-landing"),
    )
    assert landed.stdout == "Ship landed\n", landed.stderr
    node = hubble_lab("exec", "--run", run.name, "node/south", "ip", "-4", "route")
    assert "10.244.2.10 dev lxc" in node.stdout
    failed = hubble_lab("exec", "--run", run.name, "visitor", "--", "sh", "-c", "exit 5")
    assert failed.returncode == 5

    down = hubble_lab("down", "--run", run.name)
    assert down.returncode == 0, down.stderr
    assert netns_names(f"lv{run.name}-") == []
    assert not run.folder.exists()


@pytest.mark.e2e
def test_the_rest_of_a_killed_lab_is_removed_at_the_next_start(
    run: Run, two_nodes_file: Path
) -> None:
    script = (
        "import sys, pathlib\n"
        "from lab.session import open_lab\n"
        f"with open_lab(pathlib.Path({str(two_nodes_file)!r}), run={run.name!r}, plain=True):\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.kill()
    left = {int(note.name): birth_of(int(note.name)) for note in run.processes.iterdir()}
    assert len(left) == 2
    assert all(left.values())

    with open_lab(two_nodes_file, run=run.name, plain=True) as lab:
        assert all(birth_of(pid) != birth for pid, birth in left.items())
        assert lab.execute("visitor", ["true"]).returncode == 0
    assert netns_names(f"lv{run.name}-") == []


@pytest.mark.e2e
def test_down_removes_what_nobody_remembers(run: Run) -> None:
    run_ip([f"netns add lv{run.name}-stray"], netns=None)

    assert hubble_lab("down", "--run", run.name).returncode == 0

    assert netns_names(f"lv{run.name}-") == []
    again = hubble_lab("down", "--run", run.name)
    assert (again.returncode, again.stderr) == (1, f"hubble-lab: no run {run.name}\n")


@pytest.mark.e2e
def test_a_scenario_without_a_node_is_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pods.yaml"
    file.write_text("kind: Pod\nmetadata: {name: xwing}\n")

    done = hubble_lab("up", str(file), "--run", run.name)

    problem = f"hubble-lab: {file}: no Node object: a lab needs at least one\n"
    assert (done.returncode, done.stderr) == (1, problem)


@pytest.mark.parametrize(("action", "default"), [("up", "lab"), ("demo", "demo")])
def test_help_names_the_run_that_is_meant(
    action: str, default: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([action, "--help"])

    assert f"letters a-z or digits ({default})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        pytest.param(
            ("visitor", "--"),
            1,
            "exec visitor: no command given; write it behind --",
            id="no-command",
        ),
        pytest.param(
            ("nobody", "true"),
            1,
            "no pod 'nobody'; there are shop/web, default/visitor, kube-system/coredns",
            id="no-pod",
        ),
        pytest.param(
            ("node/east", "true"), 1, "no node 'east'; there are north, south", id="no-node"
        ),
        pytest.param(
            ("visitor", "no-such-program"),
            1,
            "run no-such-program in visitor: No such file or directory",
            id="no-program",
        ),
    ],
)
def test_exec_says_what_is_wrong(
    plain_lab: object, run_id: str, arguments: tuple[str, ...], status: int, problem: str
) -> None:
    done = hubble_lab("exec", "--run", run_id, *arguments)

    assert (done.returncode, done.stderr) == (status, f"hubble-lab: {problem}\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(
            ["up", "--run", "nosuch", "nowhere.yaml"],
            "read nowhere.yaml: No such file or directory",
            id="no-file",
        ),
        pytest.param(
            ["up", "--run", "nosuch", "--scenario", "rebels"],
            "no scenario 'rebels'; there are empire, galaxy",
            id="no-scenario",
        ),
        pytest.param(
            ["up", "--run", "A B"],
            "run id: want 1 to 8 letters a-z or digits, got 'A B'",
            id="bad-run",
        ),
        pytest.param(["exec", "--run", "nosuch", "a", "true"], "no run nosuch", id="no-run"),
        pytest.param(["status", "--run", "nosuch"], "no run nosuch", id="status-no-run"),
        pytest.param(["down", "--run", "nosuch"], "no run nosuch", id="down-no-run"),
    ],
)
@pytest.mark.e2e
def test_wrong_requests_are_named(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1

    assert capsys.readouterr().err.startswith(f"hubble-lab: {problem}")


@pytest.mark.e2e
def test_traffic_needs_its_scenario(plain_lab: object, run_id: str) -> None:
    done = hubble_lab("traffic", "--run", run_id)

    assert (done.returncode, done.stderr) == (
        1,
        (
            "hubble-lab: no pod 'default/tiefighter';"
            " there are shop/web, default/visitor, kube-system/coredns\n"
        ),
    )


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan"])
def test_a_duration_is_a_time(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", f"--duration={text}"])

    assert caught.value.code == 2
    assert f"want seconds above 0, got '{text}'" in capsys.readouterr().err
