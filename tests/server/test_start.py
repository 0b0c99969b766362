"""`hubble-server` as a process: what it cannot start with, it names; what it can, it serves."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("hubble-server")


def start(folder: Path, *words: str | Path, before: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run to the end; the exit status and the last line on standard error."""
    result = subprocess.run(
        [*before, PROGRAM, "--socket-path", folder / "run" / "hubble.sock", *words],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return result.returncode, result.stderr.strip().splitlines()[-1]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield int(held.getsockname()[1])


def test_a_taken_port_is_named(tmp_path: Path, taken_port: int) -> None:
    status, line = start(tmp_path, "--listen-address", f"127.0.0.1:{taken_port}")
    assert status == 1
    assert line.startswith("hubble-server: ")
    assert f"127.0.0.1:{taken_port}" in line
    assert "in use" in line.lower()
    assert not (tmp_path / "run" / "hubble.sock").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    status, line = start(tmp_path, "--event-buffer-capacity", "4096")
    assert status == 1
    assert line.startswith("hubble-server: set event-buffer-capacity from flag")
    assert line.endswith("expected one less than a power of two: '4096'")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--mode", "observe"],
            "observe: which interfaces? --interface NAME, such as 'veth*'",
        ),
        (["--interface", "veth*"], "--interface is for --mode observe"),
        (["--speed", "max"], "--speed is for --replay"),
        (["--record", "{folder}"], "create recording: File exists: {folder}"),
        (
            ["--replay", "x", "--state", "{folder}", "--record", "y", "--mode", "observe"],
            (
                "replay: cluster state and samples come from the recording; "
                "leave out --state, --record, --mode observe"
            ),
        ),
        (
            ["--replay", "{folder}/none.rec"],
            "open recording: No such file or directory: {folder}/none.rec",
        ),
        (["--replay", "{folder}"], "open recording: Is a directory: {folder}"),
        (
            ["--listen-address", ":0", "--tls-key-file", "key.pem"],
            "set up TLS: tls-key-file is given, tls-cert-file is missing",
        ),
    ],
)
def test_what_makes_no_sense_together_is_refused_before_anything_is_made(
    tmp_path: Path, words: list[str], said: str
) -> None:
    filled = [word.format(folder=tmp_path) for word in words]
    status, line = start(tmp_path, *filled)
    assert (status, line) == (1, f"hubble-server: {said.format(folder=tmp_path)}")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_recording_is_refused_with_its_offset(tmp_path: Path) -> None:
    recording = tmp_path / "cut.rec"
    recording.write_bytes(b"LEAVITT\n\x01\0\0\0\xd8\0\0\0" + bytes(8) + b"\x01\0\0")
    status, line = start(tmp_path, "--replay", recording)
    assert status == 1
    assert f"{recording}: truncated" in line
    assert line.endswith("at offset 24")
    assert list(tmp_path.iterdir()) == [recording]


@pytest.mark.kernel
def test_without_root_it_says_what_is_needed(tmp_path: Path) -> None:
    # in a user namespace of its own a process is nobody, and may use no BPF
    status, line = start(tmp_path, before=("unshare", "--user"))
    assert status == 1
    assert line.startswith("hubble-server: ")
    assert "root" in line


@pytest.mark.kernel
def test_root_of_a_user_namespace_is_told_what_is_missing(tmp_path: Path) -> None:
    bpffs = tmp_path / "bpf"
    words = ("--bpffs", bpffs)
    status, line = start(tmp_path, *words, before=("unshare", "--user", "--map-root-user"))
    assert status == 1
    assert line.startswith("hubble-server: load programs: bpf: Operation not permitted: CAP_BPF, ")
    assert "in the initial user namespace" in line
    assert not bpffs.exists()


@pytest.mark.kernel
def test_check_says_the_same() -> None:
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", PROGRAM, "check", "-o", "json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    findings = {each["name"]: each for each in json.loads(result.stdout)["findings"]}
    for name in ("root", "capabilities"):
        assert findings[name]["state"] == "blocker"
        assert "initial user namespace" in findings[name]["remedy"]
    assert findings["bpf"]["found"] == "not tried: not permitted in this user namespace"
