"""The list of findings, its two forms and its exit status."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from observer.kernel.errors import KernelError
from server.checks.finding import Finding, Probe, State, blocker, fine, warning
from server.commands import check
from server.settings import Settings

PROGRAM = Path(sys.executable).with_name("hubble-server")
LIST = """\
ok       bpf         maps can be made
warning  forwarding  off
                     -> sysctl -w net.ipv4.ip_forward=1
blocker  tcx         refused: Invalid argument
                     -> a newer kernel
1 ok, 1 warning, 1 blocker"""

FINDINGS = (
    fine("bpf", "maps can be made"),
    warning("forwarding", "off", "sysctl -w net.ipv4.ip_forward=1"),
    blocker("tcx", "refused: Invalid argument", "a newer kernel"),
)


def probe_of(finding: Finding) -> Probe:
    return lambda _: finding


def test_the_list_is_aligned_and_has_remedies() -> None:
    assert check.in_text(FINDINGS) == LIST


def test_json_has_the_same() -> None:
    assert json.loads(check.in_json(FINDINGS)) == {
        "findings": [
            {"name": "bpf", "state": "ok", "found": "maps can be made", "remedy": ""},
            {"name": "forwarding", "state": "warning", "found": "off",
             "remedy": "sysctl -w net.ipv4.ip_forward=1"},
            {"name": "tcx", "state": "blocker", "found": "refused: Invalid argument",
             "remedy": "a newer kernel"},
        ],
        "counts": {"ok": 1, "warning": 1, "blocker": 1},
    }  # fmt: skip


@pytest.mark.parametrize(("findings", "status"), [(FINDINGS, 1), (FINDINGS[:2], 0)])
def test_only_a_blocker_fails(
    findings: tuple[Finding, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "PROBES", [probe_of(finding) for finding in findings])
    assert check.main([], {}) == status


def test_a_question_that_cannot_be_asked_does_not_stop_the_others() -> None:
    def no_such_file(settings: Settings) -> Finding:
        raise FileNotFoundError(2, "No such file", "/proc/x")

    def no_namespace(settings: Settings) -> Finding:
        raise KernelError("enter network namespace: gone")

    found = check.look([no_such_file, no_namespace, probe_of(FINDINGS[0])], Settings())
    assert [each.state for each in found] == [State.WARNING, State.WARNING, State.OK]
    assert found[0].name == "no such file"
    assert "/proc/x" in found[0].found
    assert "enter network namespace: gone" in found[1].found


def test_a_replay_asks_for_its_addresses_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--replay", "x.rec", "--socket-path", str(tmp_path / "s"), "-o", "json"]
    assert check.main(words, {}) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [each["name"] for each in findings] == ["tcp address", "unix socket", "tls files"]


def test_who_only_observes_needs_no_forwarding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "PROBES", (probe_of(FINDINGS[0]), *check.FORWARDING))
    assert check.main(["--mode", "observe", "--interface", "veth*"], {}) == 0
    assert capsys.readouterr().out.endswith("1 ok, 0 warning, 0 blocker\n")


def test_a_taken_port_blocks_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        result = subprocess.run(
            [PROGRAM, "check", "--replay", "x.rec", "--socket-path", tmp_path / "s",
             "--listen-address", address],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert result.returncode == 1
    assert "blocker  tcp address  " in result.stdout
    assert address in result.stdout
    assert result.stdout.endswith("2 ok, 0 warning, 1 blocker\n")


def test_names_are_unique() -> None:
    names = [probe.__name__ for probe in check.PROBES]
    assert len(set(names)) == len(names)


@pytest.mark.kernel
def test_nobody_is_told_what_a_server_needs(tmp_path: Path) -> None:
    # in a user namespace of its own a process is nobody, and may use no BPF
    result = subprocess.run(
        ["unshare", "--user", PROGRAM, "check", "--socket-path", tmp_path / "s"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")
    assert "blocker  root            user 65534\n" in result.stdout
    assert "warning  tcx             not tried: needs root\n" in result.stdout
    assert "warning  trial           not tried: unshare: Operation not permitted\n" in result.stdout
    assert "Traceback" not in result.stdout
